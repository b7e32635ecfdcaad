import type { Application, GitSource } from '@selvedge/api';
import { readFolder } from '../folder/read-folder.ts';
import type { WorkFolders } from '../folder/work-folders.ts';
import type { GitRepositories, GitRequest } from '../git-repositories.ts';
import type { SourceReader, SourceReading } from '../source-reading.ts';
import { refreshAnnotation } from '../source-spec.ts';

/** Sources of kind git: a folder of a commit. */
export class GitSourceReader implements SourceReader {
  readonly #git: GitRepositories;
  readonly #folders: WorkFolders;
  readonly #allowsNetwork: boolean;

  constructor(parts: { git: GitRepositories; folders: WorkFolders; allowsNetwork?: boolean }) {
    this.#git = parts.git;
    this.#folders = parts.folders;
    this.#allowsNetwork = parts.allowsNetwork ?? false;
  }

  isFixed({ spec }: Application): boolean {
    return spec.source.git?.ref?.commit !== undefined;
  }

  async findRevision(application: Application, signal: AbortSignal): Promise<string> {
    return (await this.#git.findCommit(gitRequest(application, gitOf(application), signal))).revision;
  }

  async read(application: Application, signal: AbortSignal): Promise<SourceReading> {
    const source = gitOf(application);
    const request = gitRequest(application, source, signal);
    const { commit, revision } = await this.#git.findCommit(request);
    return this.#folders.use(async (folder) => {
      await this.#git.checkOut({ ...request, commit, folder });
      const { path = '.' } = source;
      const allowsNetwork = this.#allowsNetwork;
      const manifests = await readFolder({ root: folder, path, allowsNetwork, signal });
      return { revision, manifests };
    });
  }
}

export function gitRequest(application: Application, source: GitSource, signal: AbortSignal): GitRequest {
  const { namespace = '', annotations = {} } = application.metadata;
  const askedTime = annotations[refreshAnnotation];
  return { source, namespace, signal, ...(askedTime === undefined ? {} : { askedTime }) };
}

function gitOf({ spec }: Application): GitSource {
  const { git } = spec.source;
  if (!git) throw new TypeError('no source of kind git');
  return git;
}
