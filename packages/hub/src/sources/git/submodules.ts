import { SourceError } from '../source-reading.ts';
import type { CachedRepository } from './cached-repository.ts';
import type { GitRemote } from './git-access.ts';
import { type GitAddress, parseGitAddress, resolveSubmoduleUrl } from './git-address.ts';
import type { GitProgram } from './git-program.ts';
import type { GitSecrets } from './git-secrets.ts';

/** Where submodules are read from, as .gitmodules says; of all that may stand there only paths and URLs count. */
export type GitModules = readonly { readonly path: string; readonly url: string }[];

const maxBytes = 256 * 1024;

/** Reads .gitmodules as data: git parses it, and obeys nothing of it. */
export async function readGitModules({
  repository,
  oid,
  git,
  folder,
  signal,
}: {
  repository: CachedRepository;
  oid: string;
  git: GitProgram;
  folder: string;
  signal: AbortSignal;
}): Promise<GitModules> {
  let content = Buffer.alloc(0);
  await repository.readBlobs([oid], {
    onBlob: (_, blob) => {
      content = Buffer.from(blob);
    },
    signal,
  });
  if (content.length > maxBytes)
    throw new SourceError('LimitExceeded', `.gitmodules has more than ${maxBytes} bytes.`);
  const args = ['config', '--no-includes', '--null', '--list', '--file', '-'];
  const output = await git.run({ args, input: content, folder, timeoutSeconds: 10, signal });
  const modules = new Map<string, { path?: string; url?: string }>();
  for (const entry of output.split('\0')) {
    const [key = '', ...value] = entry.split('\n');
    const [, name, field] = /^submodule\.(.+)\.(path|url)$/s.exec(key) ?? [];
    if (name === undefined || field === undefined) continue;
    modules.set(name, { ...modules.get(name), [field]: value.join('\n') });
  }
  return [...modules.values()].flatMap(({ path, url }) =>
    path === undefined || url === undefined ? [] : [{ path: path.replace(/\/+$/, ''), url }],
  );
}

export function findSubmodule(modules: GitModules, path: string): GitModules[number] | undefined {
  return modules.find((module) => module.path === path);
}

/**
 * How a submodule is reached: with the password of the repository it stands in only on the same server, and by its ssh key wherever a
 * host key is known. Throws SourceError.
 */
export function submoduleRemote(
  url: string,
  { parent, path }: { parent: GitRemote; path: string },
): GitRemote {
  let address: GitAddress;
  try {
    address = parseGitAddress(resolveSubmoduleUrl(url, parent.address));
  } catch (cause) {
    throw new SourceError('RenderFailed', `Submodule "${path}": ${(cause as Error).message}.`, { cause });
  }
  const { protocol, host, port } = parent.address;
  const isSameServer = address.protocol === protocol && address.host === host && address.port === port;
  return { address, secrets: isSameServer ? parent.secrets : withoutPassword(parent.secrets) };
}

function withoutPassword(secrets: GitSecrets): GitSecrets {
  const { username: _username, password: _password, ...rest } = secrets;
  return { ...rest, cacheScope: JSON.stringify([rest.cacheScope, 'without password']) };
}
