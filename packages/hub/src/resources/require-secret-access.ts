import {
  configMaps,
  type KubeObject,
  type ResourceRef,
  resourceName,
  secrets,
  StatusError,
} from '@selvedge/api';
import type { AdmissionContext } from '@selvedge/apiserver';

type Asking = Pick<AdmissionContext, 'user' | 'authorizer'>;

/** Where an object names a Secret or ConfigMap: `spec.secrets[0].name`, `till-keys`. */
export interface SecretMention {
  readonly path: string;
  readonly name: string;
  /** Absent: that of the object. */
  readonly namespace?: string;
}

/**
 * Throws `Forbidden` unless the user may `get` every Secret that the object names: whoever writes it decides where their values go.
 * Messages name Secrets, never what is in them.
 */
export function requireSecretAccess(named: Named, mentions: readonly SecretMention[], asking: Asking): void {
  requireAccess(named, { mentions, ref: secrets, kind: 'Secret' }, asking);
}

/** The same for ConfigMaps. */
export function requireConfigMapAccess(
  named: Named,
  mentions: readonly SecretMention[],
  asking: Asking,
): void {
  requireAccess(named, { mentions, ref: configMaps, kind: 'ConfigMap' }, asking);
}

interface Named {
  readonly object: KubeObject;
  readonly ref: ResourceRef;
}

function requireAccess(
  { object, ref }: Named,
  asked: { readonly mentions: readonly SecretMention[]; readonly ref: ResourceRef; readonly kind: string },
  { user, authorizer }: Asking,
): void {
  const { name } = object.metadata;
  const { group, version, plural: resource } = asked.ref;
  for (const mention of asked.mentions) {
    const { namespace = object.metadata.namespace ?? '' } = mention;
    const wanted = { verb: 'get', group, version, resource, namespace, name: mention.name };
    if (authorizer.decide(user, wanted).allowed) continue;
    throw new StatusError(
      'Forbidden',
      `${resourceName(ref)} "${name}" is forbidden: ${mention.path} names the ${asked.kind} "${mention.name}", ` +
        `and user ${JSON.stringify(user.name)} may not get it in the namespace "${namespace}"`,
      { details: { name, group: ref.group, kind: ref.plural } },
    );
  }
}
