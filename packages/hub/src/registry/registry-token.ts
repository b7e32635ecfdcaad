import { RegistryError } from './registry-error.ts';
import { getFromRegistry, type RegistryAnswer } from './registry-request.ts';
import type { NamedRegistries } from './remote-repository.ts';

const maxTokenBytes = 64 * 1024;

/** Registries whose tokens another host hands out, by `host[:port]`; those of all others do it themselves. */
const tokenHosts: Readonly<Record<string, string>> = {
  'registry-1.docker.io': 'auth.docker.io',
  'registry.gitlab.com': 'gitlab.com',
};

export interface TokenRequest {
  /** For messages. */
  readonly registry: string;
  readonly origin: string;
  readonly named: NamedRegistries;
  readonly isNamed: boolean;
  /** `WWW-Authenticate` of its refusal. */
  readonly challenge: string;
  readonly scope: string;
  readonly authorization: string | undefined;
  readonly signal: AbortSignal;
}

/**
 * https://distribution.github.io/distribution/spec/auth/token: the registry says where. A registry may be anybody's: it must not
 * be able to send the hub elsewhere and be told the answer, nor to have a password sent there. Throws RegistryError.
 */
export async function fetchToken(request: TokenRequest): Promise<string> {
  const { registry, challenge, authorization, isNamed, signal } = request;
  const parameters = /^bearer\s+(.*)$/i.exec(challenge.slice(0, 2_000))?.[1] ?? '';
  const fields = new Map(
    [...parameters.matchAll(/(\w+)="([^"]*)"/g)].map(([, key = '', value = '']) => [key, value]),
  );
  const url = URL.parse(fields.get('realm') ?? '');
  if (!url || url.username !== '' || !mayHandOutTokens(request, url)) throw denied(request);
  const service = fields.get('service');
  if (service !== undefined) url.searchParams.set('service', service);
  url.searchParams.set('scope', request.scope);
  let answer: RegistryAnswer;
  try {
    const headers = authorization === undefined ? {} : { authorization };
    answer = await getFromRegistry(url, { headers, maxBytes: maxTokenBytes, isNamed, signal });
  } catch (cause) {
    throw new RegistryError('Unavailable', `${registry} cannot be asked`, { cause });
  }
  const token = answer.status === 200 ? tokenIn(answer.body) : undefined;
  if (token === undefined) throw denied(request);
  return token;
}

function tokenIn(body: Buffer): string | undefined {
  try {
    const document = JSON.parse(body.toString('utf8')) as { token?: unknown; access_token?: unknown } | null;
    const token = document?.token ?? document?.access_token;
    return typeof token === 'string' && /^[\x21-\x7e]+$/.test(token) ? token : undefined;
  } catch {
    return undefined;
  }
}

function denied({ registry, authorization }: TokenRequest): RegistryError {
  const message =
    authorization === undefined
      ? `${registry} asks for credentials`
      : `${registry} refuses the credentials of its RegistryCredential, or has its tokens handed out by another host`;
  return new RegistryError('Denied', message);
}

function mayHandOutTokens({ registry, origin, named }: TokenRequest, url: URL): boolean {
  const own = new URL(origin);
  if (url.origin === own.origin) return true;
  if (url.protocol !== 'https:') return false;
  return tokenHosts[own.host] === url.host || (named.private.has(registry) && named.private.has(url.host));
}
