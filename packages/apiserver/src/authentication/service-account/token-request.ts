import {
  badRequest,
  conflict,
  type FieldError,
  fieldInvalid,
  fieldRequired,
  invalid,
  isObject,
  type KubeObject,
  notFound,
  secrets,
} from '@selvedge/api';
import type { SubresourceAction } from '../../resource-definition.ts';
import type { ObjectIdentity } from './service-account-user.ts';
import { signToken, type TokenSource } from './sign-token.ts';

const kind = { group: 'authentication.k8s.io', version: 'v1', kind: 'TokenRequest' };
const apiVersion = `${kind.group}/${kind.version}`;
const defaultSeconds = 3600;
const minSeconds = 600;
/** Longer wishes get this, as with kube-apiserver's `--service-account-max-token-expiration`. */
const maxSeconds = 365 * 86_400;
const maxAskedSeconds = 2 ** 32;
const maxAudiences = 50;

interface Wish {
  readonly audiences: readonly string[];
  readonly expirationSeconds: number;
  readonly boundSecret: { readonly name: string; readonly uid?: string } | undefined;
}

/** `serviceaccounts/NAME/token`: answers a `TokenRequest` with a new token in its status. Nothing is stored. */
export function tokenRequestAction(source: TokenSource): SubresourceAction {
  return {
    kind,
    invoke: async (account, body, { dryRun }) => {
      const wish = readWish(account, body);
      const secret = wish.boundSecret && (await getBoundSecret(source, account, wish.boundSecret));
      const content = {
        account,
        secret,
        audiences: wish.audiences,
        lifeSeconds: wish.expirationSeconds,
      };
      const { token, audiences, issuedAt } = await signToken(source, content);
      const { name, namespace = '' } = account.metadata;
      return {
        apiVersion,
        kind: kind.kind,
        metadata: { name, namespace, creationTimestamp: toTime(issuedAt) },
        spec: {
          audiences: [...audiences],
          expirationSeconds: wish.expirationSeconds,
          ...(secret ? { boundObjectRef: { kind: 'Secret', apiVersion: 'v1', ...secret } } : {}),
        },
        status: {
          token: dryRun ? '' : token,
          expirationTimestamp: toTime(issuedAt + wish.expirationSeconds),
        },
      };
    },
  };
}

const toTime = (seconds: number): string => new Date(seconds * 1000).toISOString().replace('.000Z', 'Z');

/** Throws `BadRequest` for another kind of body, `Invalid` with the paths of wrong fields. */
function readWish(account: KubeObject, body: unknown): Wish {
  if (!isObject(body)) throw badRequest('the body must be a TokenRequest');
  const { apiVersion: givenVersion = apiVersion, kind: givenKind = kind.kind, metadata } = body;
  if (givenVersion !== apiVersion || givenKind !== kind.kind) {
    throw badRequest(`the body must be a ${kind.kind} of ${apiVersion}`);
  }
  for (const field of ['name', 'namespace'] as const) {
    const given = isObject(metadata) ? metadata[field] : undefined;
    if (given !== undefined && given !== '' && given !== account.metadata[field]) {
      throw badRequest(`metadata.${field} does not agree with the path of the request`);
    }
  }
  const spec = isObject(body['spec']) ? body['spec'] : {};
  const { expirationSeconds, boundObjectRef } = spec;
  // Go writes an empty list as null.
  const audiences = spec['audiences'] ?? [];
  const errors: FieldError[] = [
    ...audienceErrors(audiences),
    ...expirationErrors(expirationSeconds),
    ...boundObjectErrors(boundObjectRef),
  ];
  if (errors.length > 0) throw invalid(kind, account.metadata.name, errors);
  const seconds = (expirationSeconds as number | null | undefined) ?? defaultSeconds;
  return {
    audiences: audiences as string[],
    expirationSeconds: Math.min(seconds, maxSeconds),
    boundSecret: readBoundSecret(account, boundObjectRef),
  };
}

function audienceErrors(audiences: unknown): FieldError[] {
  const isList = Array.isArray(audiences) && audiences.length <= maxAudiences;
  return isList && audiences.every((a) => typeof a === 'string' && a !== '' && a.length <= 1024)
    ? []
    : [fieldInvalid('spec.audiences', audiences, `must be at most ${maxAudiences} texts that are not empty`)];
}

function expirationErrors(seconds: unknown): FieldError[] {
  const field = 'spec.expirationSeconds';
  if (seconds === undefined || seconds === null) return [];
  if (typeof seconds !== 'number' || !Number.isSafeInteger(seconds)) {
    return [fieldInvalid(field, seconds, 'must be a whole number of seconds')];
  }
  if (seconds < minSeconds) {
    return [fieldInvalid(field, seconds, 'may not specify a duration less than 10 minutes')];
  }
  return seconds > maxAskedSeconds
    ? [fieldInvalid(field, seconds, 'may not specify a duration larger than 2^32 seconds')]
    : [];
}

function boundObjectErrors(reference: unknown): FieldError[] {
  const field = 'spec.boundObjectRef';
  if (reference === undefined || reference === null) return [];
  if (!isObject(reference)) return [fieldInvalid(field, reference, 'must be an object')];
  const { name, uid } = reference;
  if (typeof name !== 'string' || name === '') {
    return [fieldRequired(`${field}.name`, 'the name of the Secret that the token ends with')];
  }
  return uid === undefined || typeof uid === 'string'
    ? []
    : [fieldInvalid(`${field}.uid`, uid, 'must be a text')];
}

function readBoundSecret(account: KubeObject, reference: unknown): Wish['boundSecret'] {
  if (!isObject(reference)) return undefined;
  const { apiVersion: version, kind: boundKind, name, uid } = reference;
  if (boundKind !== 'Secret' || version !== 'v1') {
    throw badRequest(
      `cannot bind token for serviceaccount "${account.metadata.name}" to type ${JSON.stringify(`${String(version)} ${String(boundKind)}`)}: only v1 Secret can be bound to`,
    );
  }
  return { name: name as string, ...(typeof uid === 'string' && uid !== '' ? { uid } : {}) };
}

async function getBoundSecret(
  { store }: TokenSource,
  account: KubeObject,
  { name, uid }: { readonly name: string; readonly uid?: string },
): Promise<ObjectIdentity> {
  const { namespace = '' } = account.metadata;
  const stored = await store.find({ resource: secrets.plural, namespace, name });
  if (!stored) throw notFound(secrets, name);
  const { metadata } = JSON.parse(stored.body) as { metadata: { uid: string } };
  if (uid !== undefined && uid !== metadata.uid) {
    throw conflict(
      secrets,
      name,
      `the UID in the bound object reference (${uid}) does not match the UID in record (${metadata.uid})`,
    );
  }
  return { name, uid: metadata.uid };
}
