import type { ScopedLogin } from '../sync/sync-protocol.ts';
import { registryScope } from './registry-scope.ts';

/**
 * Logins of a docker configuration (`.dockerconfigjson`): entries with a name and a password, or with `auth`. Undefined when the text is no such
 * configuration; entries without a login (credential helpers) are left out.
 */
export function readDockerConfig(text: string): ScopedLogin[] | undefined {
  const auths = fieldOf(parse(text), 'auths');
  if (typeof auths !== 'object' || auths === null) return undefined;
  return Object.entries(auths).flatMap(([registry, entry]) => {
    const login = loginOf(entry);
    return login === undefined ? [] : [{ registry: registryScope(registry), ...login }];
  });
}

/** The inverse: what kubelets and container engines read. */
export function writeDockerConfig(logins: readonly ScopedLogin[]): string {
  const auths = logins.map(({ registry, username, password }) => [
    // Docker Hub is known to every reader by this name.
    registry === 'docker.io' ? 'https://index.docker.io/v1/' : registry,
    { username, password, auth: encode(`${username}:${password}`) },
  ]);
  return JSON.stringify({ auths: Object.fromEntries(auths) });
}

function loginOf(entry: unknown): { username: string; password: string } | undefined {
  const username = fieldOf(entry, 'username');
  const password = fieldOf(entry, 'password');
  if (typeof username === 'string' && typeof password === 'string') return { username, password };
  const auth = fieldOf(entry, 'auth');
  const text = typeof auth === 'string' ? decode(auth) : undefined;
  const colon = text?.indexOf(':') ?? -1;
  if (text === undefined || colon < 1) return undefined;
  return { username: text.slice(0, colon), password: text.slice(colon + 1) };
}

function fieldOf(value: unknown, name: string): unknown {
  return typeof value === 'object' && value !== null ? (value as Record<string, unknown>)[name] : undefined;
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text) as unknown;
  } catch {
    return undefined;
  }
}

function decode(base64: string): string | undefined {
  try {
    return new TextDecoder().decode(Uint8Array.from(atob(base64), (char) => char.charCodeAt(0)));
  } catch {
    return undefined;
  }
}

function encode(text: string): string {
  return btoa(String.fromCharCode(...new TextEncoder().encode(text)));
}
