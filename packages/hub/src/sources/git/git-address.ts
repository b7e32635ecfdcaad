/** A repository's address, taken apart and known to be harmless on a command line. */
export interface GitAddress {
  readonly protocol: 'https' | 'http' | 'ssh';
  /** As in the URL: a name, or an IP address without brackets. */
  readonly host: string;
  readonly port: number;
  /** ssh: who to be there. Others: the name that goes with a password when the Secret has none. */
  readonly user: string | undefined;
  /** What git is given: never a password, never a leading dash. */
  readonly url: string;
}

const defaultPorts = { https: 443, http: 80, ssh: 22 } as const;
const userPattern = /^[A-Za-z0-9_][A-Za-z0-9_.+@-]*$/;
const namePattern = /^(?=.{1,253}$)[A-Za-z0-9]([A-Za-z0-9_.-]*[A-Za-z0-9])?$/;
const ipv6Pattern = /^\[([0-9A-Fa-f:.]+)\]$/;
/** user@host:path, where the path is none of a local drive or another scheme. */
const scpPattern = /^([^@:/\s]+)@([^@:/\s]+|\[[^\]]+\]):(?!\/\/)(.+)$/;

/** Throws an Error whose message names what to do, without the URL: it may hold a password. */
export function parseGitAddress(text: string): GitAddress {
  if (/[\p{Cc}\s\\]/u.test(text)) {
    throw new Error('the URL holds spaces, backslashes or control characters');
  }
  const scp = scpPattern.exec(text);
  if (scp !== null && !text.includes('://')) return parseScp(scp);
  const url = URL.parse(text);
  const protocol = url?.protocol.slice(0, -1);
  if (url === null || (protocol !== 'https' && protocol !== 'http' && protocol !== 'ssh')) {
    throw new Error('the URL has to be https://host/path, ssh://user@host/path or user@host:path');
  }
  if (url.password !== '') throw new Error('the URL holds a password: put it into the Secret of secretRef');
  if (url.search !== '' || url.hash !== '') throw new Error('the URL must not have ? or #');
  if (url.pathname === '' || url.pathname === '/')
    throw new Error('the URL lacks the path of the repository');
  const user = url.username === '' ? undefined : checkUser(decode(url.username));
  if (protocol === 'ssh' && user === undefined) {
    throw new Error('the URL lacks the user, as in ssh://git@host/path');
  }
  const host = checkHost(url.hostname);
  const shownUser = protocol === 'ssh' && user !== undefined ? `${user}@` : '';
  return {
    protocol,
    host: host.plain,
    port: url.port === '' ? defaultPorts[protocol] : Number(url.port),
    user,
    url: `${protocol}://${shownUser}${host.shown}${url.port === '' ? '' : `:${url.port}`}${url.pathname}`,
  };
}

/** What is wrong with a repository's URL, for the door; undefined: nothing. */
export function faultOfGitUrl(text: string): string | undefined {
  try {
    parseGitAddress(text);
    return undefined;
  } catch (error) {
    return (error as Error).message;
  }
}

/** Whether both name the same repository, however they are written. */
export function isSameRepository(a: string, b: string): boolean {
  return a === b || repositoryName(a) === repositoryName(b);
}

function repositoryName(text: string): string {
  try {
    const { protocol, host, port, url } = parseGitAddress(text);
    const path = url.startsWith(`${protocol}://`)
      ? new URL(url).pathname
      : `/${url.slice(url.indexOf(':') + 1)}`;
    return `${protocol}://${host.toLowerCase()}:${port}${path.replace(/\/+$/, '').replace(/\.git$/, '')}`;
  } catch {
    return text;
  }
}

/** A submodule's URL, which may be relative to that of the repository it stands in. Throws as `parseGitAddress`. */
export function resolveSubmoduleUrl(url: string, parent: GitAddress): string {
  if (!url.startsWith('./') && !url.startsWith('../')) return url;
  // Relative to the repository as if that were a folder: ../other is a sibling.
  const isScp = !parent.url.includes('://');
  const [root, path] = isScp ? splitAt(parent.url, ':') : splitUrl(parent.url);
  const parts = path.replace(/\/+$/, '').split('/');
  for (const step of url.split('/')) {
    if (step === '' || step === '.') continue;
    if (step !== '..') parts.push(step);
    else if (parts.pop() === undefined || parts.length === 0)
      throw new Error(`the URL ${url} leads above its host`);
  }
  return `${root}${parts.join('/')}`;
}

function splitUrl(url: string): [string, string] {
  const start = url.indexOf('/', url.indexOf('://') + 3);
  return [url.slice(0, start), url.slice(start)];
}

function splitAt(text: string, mark: string): [string, string] {
  const at = text.indexOf(mark) + 1;
  return [text.slice(0, at), text.slice(at)];
}

function parseScp([, user = '', shownHost = '', path = '']: RegExpExecArray): GitAddress {
  const host = checkHost(shownHost);
  if (path.startsWith('-')) throw new Error('the path of the repository begins with a dash');
  return {
    protocol: 'ssh',
    host: host.plain,
    port: defaultPorts.ssh,
    user: checkUser(user),
    url: `${user}@${host.shown}:${path}`,
  };
}

function checkUser(user: string): string {
  if (!userPattern.test(user))
    throw new Error('the user name of the URL holds characters that no user name has');
  return user;
}

function checkHost(shown: string): { plain: string; shown: string } {
  const ipv6 = ipv6Pattern.exec(shown);
  if (ipv6 !== null) return { plain: ipv6[1] ?? '', shown };
  if (!namePattern.test(shown)) throw new Error('the host of the URL is no name of a host');
  return { plain: shown, shown };
}

function decode(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    throw new Error('the user name of the URL is not percent-encoded rightly');
  }
}
