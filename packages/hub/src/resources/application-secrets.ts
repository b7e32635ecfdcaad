import { isDeepStrictEqual } from 'node:util';
import { type Application, type ApplicationSpec, applications, sites, StatusError } from '@selvedge/api';
import type { AdmissionContext } from '@selvedge/apiserver';
import { requireConfigMapAccess, requireSecretAccess, type SecretMention } from './require-secret-access.ts';

/** Every Secret of the hub that an Application names. */
export function mentionedSecrets({ source, secrets = [] }: ApplicationSpec): SecretMention[] {
  const mentions: SecretMention[] = secrets.map(({ name }, index) => ({
    path: `spec.secrets[${index}].name`,
    name,
  }));
  const add = (path: string, ref: { readonly name: string } | undefined) => {
    if (ref !== undefined) mentions.push({ path: `${path}.name`, name: ref.name });
  };
  const addGit = (path: string, git: NonNullable<typeof source.git>) => {
    add(`${path}.secretRef`, git.secretRef);
    add(`${path}.webhook.secretRef`, git.webhook?.secretRef);
  };
  if (source.git) addGit('spec.source.git', source.git);
  const { helm } = source;
  if (helm) {
    add('spec.source.helm.secretRef', helm.secretRef);
    if (helm.git) addGit('spec.source.helm.git', helm.git);
    for (const [index, { secretKeyRef }] of (helm.valuesFrom ?? []).entries()) {
      add(`spec.source.helm.valuesFrom[${index}].secretKeyRef`, secretKeyRef);
    }
  }
  return mentions;
}

/** Every ConfigMap of the hub that an Application takes values from. */
export function mentionedConfigMaps({ source, variables = [] }: ApplicationSpec): SecretMention[] {
  const mentions: SecretMention[] = [];
  const add = (path: string, refs: readonly { readonly configMapKeyRef?: { readonly name: string } }[]) => {
    for (const [index, { configMapKeyRef }] of refs.entries()) {
      if (configMapKeyRef === undefined) continue;
      mentions.push({ path: `${path}[${index}].configMapKeyRef.name`, name: configMapKeyRef.name });
    }
  };
  for (const [index, { from = [] }] of variables.entries()) add(`spec.variables[${index}].from`, from);
  add('spec.source.helm.valuesFrom', source.helm?.valuesFrom ?? []);
  return mentions;
}

/**
 * Throws `Forbidden` when a user writes an Application that brings to sites what the user could not read: Secrets and ConfigMaps of the hub
 * (`get` on each), or objects of the cluster of a mirrored site (`mirror` on the Site; `mirror-secrets` for Secrets of it). Asked at every change
 * of the spec, not only when a name is new: where a Secret goes is up to the rest of the spec too.
 */
export function refuseForeignSecrets(
  application: Application,
  previous: Application | undefined,
  context: Pick<AdmissionContext, 'user' | 'authorizer'>,
): void {
  if (previous !== undefined && isDeepStrictEqual(reach(previous.spec), reach(application.spec))) return;
  const named = { object: application, ref: applications };
  requireSecretAccess(named, mentionedSecrets(application.spec), context);
  requireConfigMapAccess(named, mentionedConfigMaps(application.spec), context);
  requireMirrorAccess(application, context);
}

/**
 * A mirror is read with the rights of the site's agent, not those that the user has there, so `sites/proxy`, where the site's own RBAC decides, is
 * not enough.
 */
function requireMirrorAccess(
  { metadata: { name }, spec }: Application,
  { user, authorizer }: Pick<AdmissionContext, 'user' | 'authorizer'>,
): void {
  const { mirror } = spec.source;
  if (mirror === undefined) return;
  const { group, version, plural: resource } = sites;
  const require = (verb: string, what: string, role: string) => {
    if (authorizer.decide(user, { verb, group, version, resource, name: mirror.site }).allowed) return;
    throw new StatusError(
      'Forbidden',
      `applications.selvedge.dev "${name}" is forbidden: spec.source.mirror reads ${what} of site "${mirror.site}", ` +
        `and user ${JSON.stringify(user.name)} needs the verb "${verb}" on that Site (ClusterRole ${role} gives it)`,
      { details: { name, group: applications.group, kind: applications.plural } },
    );
  };
  require('mirror', 'the cluster', 'selvedge:site-mirrorer');
  if ((mirror.secrets ?? []).length > 0) {
    require('mirror-secrets', 'Secrets in the cluster', 'selvedge:site-secrets-mirrorer');
  }
}

/** All of the spec but what only says when: pausing takes no right to the Secrets. */
function reach({ paused: _paused, rollout: _rollout, ...spec }: ApplicationSpec): unknown {
  return spec;
}
