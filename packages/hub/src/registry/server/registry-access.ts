import { isStatusError, type Namespace, namespaces, type ObjectClient } from '@selvedge/api';
import type { ApiServer, UserInfo } from '@selvedge/apiserver';
import { DistributionError } from '../distribution-error.ts';
import type { NamespaceOwners } from '../namespace-owners.ts';

export type RegistryVerb = 'get' | 'update' | 'delete';

/** Who asks the registry. */
export type Caller =
  | { readonly kind: 'user'; readonly user: UserInfo }
  | { readonly kind: 'site'; readonly site: string };

export interface RegistryAccessOptions {
  readonly api: Pick<ApiServer, 'access'>;
  readonly client: Pick<ObjectClient, 'find'>;
  readonly owners: Pick<NamespaceOwners, 'isHidden' | 'claim'>;
  readonly hubId: string;
  /** Verifies an agent's token; returns its site. Throws Unauthorized. */
  readonly authenticateAgent: (authorization: string) => Promise<string>;
}

const group = 'selvedge.dev';
const longestCredential = 16 * 1024;

/** Repositories are a resource of the hub's RBAC: `repositories` of the group selvedge.dev, in the namespace that their name begins with. */
export class RegistryAccess {
  readonly #o: RegistryAccessOptions;

  constructor(options: RegistryAccessOptions) {
    this.#o = options;
  }

  /** Undefined: nothing was presented. Throws DistributionError for what is wrong. */
  async identify(
    authorization: string | undefined,
    certificateUser: UserInfo | undefined,
  ): Promise<Caller | undefined> {
    const token = authorization === undefined ? undefined : tokenIn(authorization);
    try {
      if (token === undefined && certificateUser === undefined) return undefined;
      if (token !== undefined && isForAgents(token, this.#o.hubId)) {
        return { kind: 'site', site: await this.#o.authenticateAgent(`Bearer ${token}`) };
      }
      const user = await this.#o.api.access.authenticate(
        token === undefined ? { certificateUser: certificateUser as UserInfo } : { bearerToken: token },
      );
      return user && { kind: 'user', user };
    } catch (error) {
      if (!isStatusError(error, 'Unauthorized')) throw error;
      throw new DistributionError('UNAUTHORIZED', error.message, { cause: error });
    }
  }

  may(user: UserInfo, verb: RegistryVerb, repository: string): boolean {
    const namespace = namespaceOf(repository);
    const { authorizer } = this.#o.api.access;
    return authorizer.decide(user, { verb, group, resource: 'repositories', namespace, name: repository })
      .allowed;
  }

  /**
   * Whether applications of a namespace may read a repository: of their own namespace always, another one's when RBAC lets the
   * service accounts of the namespace (group `system:serviceaccounts:NAMESPACE`) `get` it.
   */
  mayApplicationsRead(namespace: string, repository: string): boolean {
    if (namespace === namespaceOf(repository)) return true;
    const groups = ['system:serviceaccounts', `system:serviceaccounts:${namespace}`, 'system:authenticated'];
    return this.may({ name: `system:serviceaccount:${namespace}:default`, groups }, 'get', repository);
  }

  /** Of a Namespace that was deleted: it is as if it were not there, also for one that has its name now. */
  isHidden(repository: string): Promise<boolean> {
    return this.#o.owners.isHidden(namespaceOf(repository));
  }

  /**
   * Before something is written. Throws DistributionError when the namespace of a repository is not there (nobody would find the image again), or
   * what is there is of a former one.
   */
  async checkNamespace(repository: string): Promise<void> {
    const name = namespaceOf(repository);
    const namespace = await this.#o.client.find<Namespace>(namespaces, { name });
    if (namespace !== undefined) return this.#o.owners.claim(namespace);
    throw new DistributionError('NAME_UNKNOWN', `there is no namespace "${name}" at this hub: make it first`);
  }
}

export function namespaceOf(repository: string): string {
  return repository.split('/', 1)[0] ?? '';
}

/** The token of `Authorization`: a bearer, or the password of whatever name. Undefined: neither. */
export function tokenIn(authorization: string): string | undefined {
  if (authorization.length > longestCredential) return undefined;
  const [, scheme = '', value = ''] = /^(\w+) +(\S+) *$/.exec(authorization) ?? [];
  if (scheme.toLowerCase() === 'bearer') return value;
  if (scheme.toLowerCase() !== 'basic') return undefined;
  const pair = Buffer.from(value, 'base64').toString('utf8');
  const colon = pair.indexOf(':');
  const password = colon === -1 ? '' : pair.slice(colon + 1);
  return password === '' ? undefined : password;
}

/** Agents' tokens and those of service accounts are told apart by whom they are for. Proves nothing. */
function isForAgents(token: string, hubId: string): boolean {
  const [header = '', payload = ''] = token.split('.');
  try {
    const { alg } = JSON.parse(Buffer.from(header, 'base64url').toString('utf8')) as { alg?: unknown };
    const { aud } = JSON.parse(Buffer.from(payload, 'base64url').toString('utf8')) as { aud?: unknown };
    return alg === 'EdDSA' && aud === hubId;
  } catch {
    return false;
  }
}
