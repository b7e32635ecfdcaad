import { type Application, canonicalJson } from '@selvedge/api';
import { sha256Digest } from '@selvedge/api/node';
import { plainPath, writeInside } from '../folder/unpack-archive.ts';
import { readFolder } from '../folder/read-folder.ts';
import type { WorkFolders } from '../folder/work-folders.ts';
import { SourceError, type SourceReader, type SourceReading } from '../source-reading.ts';

/** Sources of kind kustomize: a kustomization and its files, both in the Application. */
export class KustomizeSourceReader implements SourceReader {
  readonly #folders: WorkFolders;
  readonly #allowsNetwork: boolean;

  constructor(parts: { folders: WorkFolders; allowsNetwork?: boolean }) {
    this.#folders = parts.folders;
    this.#allowsNetwork = parts.allowsNetwork ?? false;
  }

  isFixed(): boolean {
    return true;
  }

  findRevision({ spec }: Application): Promise<string> {
    return Promise.resolve(sha256Digest(new TextEncoder().encode(canonicalJson(spec.source.kustomize))));
  }

  async read(application: Application, signal: AbortSignal): Promise<SourceReading> {
    const { kustomization = {}, files = {} } = application.spec.source.kustomize ?? {};
    const revision = await this.findRevision(application);
    return this.#folders.use(async (folder) => {
      for (const [name, text] of Object.entries(files)) {
        const path = plainPath(name);
        if (path === undefined || path.startsWith('kustomization.')) {
          throw new SourceError(
            'RenderFailed',
            `spec.source.kustomize.files["${name}"]: give a relative path that leads to no other file.`,
          );
        }
        await writeInside(folder, path, text);
      }
      // JSON is YAML.
      await writeInside(folder, 'kustomization.yaml', JSON.stringify(kustomization));
      const allowsNetwork = this.#allowsNetwork;
      return { revision, manifests: await readFolder({ root: folder, path: '.', allowsNetwork, signal }) };
    });
  }
}
