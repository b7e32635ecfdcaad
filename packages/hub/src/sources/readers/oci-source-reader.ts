import type { Application } from '@selvedge/api';
import type { ArtifactManifest, ArtifactRegistry, ArtifactRequest } from '../artifact-registry.ts';
import { readFolder } from '../folder/read-folder.ts';
import { archiveLimits, plainPath, unpackArchive, writeInside } from '../folder/unpack-archive.ts';
import type { WorkFolders } from '../folder/work-folders.ts';
import { SourceError, type SourceReader, type SourceReading } from '../source-reading.ts';

const titleAnnotation = 'org.opencontainers.image.title';
const maxLayers = 200;

/** Sources of kind oci: an artifact with a tar.gz of files, as `flux push artifact` and `oras push` make it, or of single files. */
export class OciSourceReader implements SourceReader {
  readonly #artifacts: ArtifactRegistry;
  readonly #folders: WorkFolders;
  readonly #allowsNetwork: boolean;

  constructor(parts: { artifacts: ArtifactRegistry; folders: WorkFolders; allowsNetwork?: boolean }) {
    this.#artifacts = parts.artifacts;
    this.#folders = parts.folders;
    this.#allowsNetwork = parts.allowsNetwork ?? false;
  }

  isFixed(application: Application): boolean {
    return referenceOf(application).reference.startsWith('sha256:');
  }

  findRevision(application: Application, signal: AbortSignal): Promise<string> {
    const { request, reference } = this.#requestOf(application, signal);
    return this.#artifacts.findDigest(request, reference);
  }

  async read(application: Application, signal: AbortSignal): Promise<SourceReading> {
    const { request, reference } = this.#requestOf(application, signal);
    const digest = await this.#artifacts.findDigest(request, reference);
    const manifest = await this.#artifacts.fetchManifest(request, digest);
    return this.#folders.use(async (folder) => {
      await this.#writeLayers(request, manifest, folder);
      const path = application.spec.source.oci?.path ?? '.';
      const allowsNetwork = this.#allowsNetwork;
      return { revision: digest, manifests: await readFolder({ root: folder, path, allowsNetwork, signal }) };
    });
  }

  async #writeLayers(request: ArtifactRequest, manifest: ArtifactManifest, folder: string): Promise<void> {
    const layers = manifest.layers.map((layer, index) => ({ ...layer, form: formOf(layer, index) }));
    const usable = layers.filter(({ form }) => form !== undefined);
    if (usable.length === 0) {
      const types =
        [...new Set(manifest.layers.map(({ mediaType }) => mediaType))].slice(0, 5).join(', ') || 'none';
      throw new SourceError(
        'RenderFailed',
        `The artifact holds no manifests: its layers are of the types ${types}; a tar.gz or YAML files are read.`,
      );
    }
    const bytes = usable.reduce((sum, { size }) => sum + size, 0);
    if (bytes > archiveLimits.packedBytes || usable.length > maxLayers) {
      throw new SourceError(
        'LimitExceeded',
        `The artifact has ${usable.length} layers of ${bytes} bytes together, the limit is ${maxLayers} of ${archiveLimits.packedBytes}.`,
      );
    }
    for (const { digest, size, form } of usable) {
      const content = await this.#artifacts.fetchBlob(request, digest, Math.max(size, 1));
      if (form === 'archive') await unpackArchive(content, folder);
      else if (form !== undefined) await writeInside(folder, form.file, content);
    }
  }

  #requestOf(application: Application, signal: AbortSignal): { request: ArtifactRequest; reference: string } {
    const { repository, reference } = referenceOf(application);
    const credential = application.spec.source.oci?.registryCredential;
    const request = {
      repository,
      namespace: application.metadata.namespace ?? '',
      ...(credential === undefined ? {} : { registryCredential: credential }),
      signal,
    };
    return { request, reference };
  }
}

function referenceOf({ spec }: Application): ArtifactReference {
  const text = spec.source.oci?.reference ?? '';
  const reference = parseArtifactReference(text);
  if (reference !== undefined) return reference;
  throw new SourceError(
    'NotFound',
    `spec.source.oci.reference must be registry/repository:tag or registry/repository@sha256:…, not "${text}".`,
  );
}

export interface ArtifactReference {
  readonly repository: string;
  /** Digest, or else tag. */
  readonly reference: string;
}

/** `undefined`: it is none. */
export function parseArtifactReference(text: string): ArtifactReference | undefined {
  const [named = '', digest, ...rest] = text.replace(/^oci:\/\//, '').split('@');
  const tag = /^(.*\/[^:/]+):([\w][\w.-]{0,127})$/.exec(named);
  const repository = tag?.[1] ?? named;
  if (rest.length > 0 || (digest !== undefined && !/^sha256:[0-9a-f]{64}$/.test(digest))) return undefined;
  if (!/^[\w.[\]:-]+(?:\/[\w][\w.-]*)+$/.test(repository)) return undefined;
  return { repository, reference: digest ?? tag?.[2] ?? 'latest' };
}

/** What to do with a layer; `undefined`: it is of no use here. */
function formOf(
  { mediaType, annotations = {} }: ArtifactManifest['layers'][number],
  index: number,
): 'archive' | { file: string } | undefined {
  const title = annotations[titleAnnotation];
  const file = title === undefined ? undefined : plainPath(title);
  if (/tar(?:$|[+.-])|[+.]gzip$|\/gzip$|\/x-gzip$/.test(mediaType) && !isManifestName(title))
    return 'archive';
  if (title !== undefined && /\.(?:tar|tar\.gz|tgz)$/.test(title)) return 'archive';
  if (file !== undefined && (isManifestName(file) || /[kK]ustomization$/.test(file))) return { file };
  if (/(?:^|[/+.-])yaml(?:$|[;+])/.test(mediaType)) return { file: file ?? `layer-${index}.yaml` };
  if (/(?:^|[/+.-])json(?:$|;)/.test(mediaType)) return { file: file ?? `layer-${index}.json` };
  // Beside manifests a kustomization may need any file.
  return file === undefined ? undefined : { file };
}

function isManifestName(name: string | undefined): boolean {
  return name !== undefined && /\.(?:yaml|yml|json)$/.test(name);
}
