import { mkdtemp, rm } from 'node:fs/promises';
import { join } from 'node:path';
import {
  type Clock,
  type ImageReference,
  parseImageReference,
  type RackImage,
  StatusError,
} from '@selvedge/api';
import { sha256Digest } from '@selvedge/api/node';
import { compressFile, hashFile, type PackedFile, readDiskFacts } from './pack-disk.ts';
import { pushBlob, refusal, toStatusError } from './push-blob.ts';
import type { RegistryAccess } from './registry-access.ts';
import { RegistrySession } from './registry-session.ts';
import { UploadNotes } from './upload-notes.ts';

export interface PushProgress {
  readonly step: 'Packing' | 'Sending';
  readonly doneBytes: number;
  readonly totalBytes: number;
}

export interface PushOptions {
  /** `host[:port]/namespace/name[:tag]`; the tag is `latest` without one. */
  readonly target: string;
  readonly access: RegistryAccess;
  /** Folder of notes of uploads that were begun, so that the next run goes on with them; absent: only this run does. */
  readonly uploads?: string | undefined;
  readonly clock: Clock;
  readonly signal: AbortSignal;
  readonly onProgress?: (progress: PushProgress) => void;
}

export interface PushImageOptions extends PushOptions {
  /** Raw or qcow2, perhaps compressed with gzip, zstd or xz. */
  readonly file: string;
  /** It is not compressed, if it is not. */
  readonly keepAsIs?: boolean;
  /** Where the compressed file is written; needs room for it. */
  readonly tempDirectory: string;
}

/** For `MachineImage.spec`. */
export interface PushedImage extends Pick<RackImage, 'reference' | 'digest' | 'sizeBytes' | 'format'> {
  readonly diskBytes: number;
}

export interface PushInspectionOptions extends PushOptions {
  /** `vmlinuz`, `initrd.img`, and boot loaders. */
  readonly files: readonly { readonly title: string; readonly path: string }[];
}

const manifestType = 'application/vnd.oci.image.manifest.v1+json';
/** As image-spec 1.1 has it for artifacts without a configuration. */
const emptyConfig = { mediaType: 'application/vnd.oci.empty.v1+json', bytes: Buffer.from('{}') } as const;

/** Puts a disk image into a registry as an OCI artifact of one layer. Throws StatusError, or with the signal. */
export async function pushMachineImage(options: PushImageOptions): Promise<PushedImage> {
  const { file, signal, tempDirectory, onProgress = () => {} } = options;
  const target = getTarget(options.target);
  const { format, compression, diskBytes } = await readDiskFacts(file, signal);
  const folder = await mkdtemp(join(tempDirectory, 'selvedge-push-'));
  try {
    const told = (doneBytes: number) => onProgress({ step: 'Packing', doneBytes, totalBytes: diskBytes });
    const isPacked = compression !== undefined || options.keepAsIs === true;
    const layer = isPacked
      ? await hashFile(file, { signal, onProgress: told })
      : await compressFile(file, { folder, signal, onProgress: told });
    const packing = compression ?? (isPacked ? undefined : 'zstd');
    const mediaType = `application/vnd.selvedge.disk.v1.${format.toLowerCase()}${packing === undefined ? '' : `+${packing}`}`;
    const title = `disk.${format === 'Raw' ? 'img' : 'qcow2'}`;
    const reference = await pushArtifact([{ ...layer, mediaType, title }], {
      ...options,
      target,
      artifactType: 'application/vnd.selvedge.machine-image.v1',
    });
    return { reference, digest: layer.digest, sizeBytes: layer.sizeBytes, format, diskBytes };
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

/** Puts the files of an inspection system into a registry. Throws StatusError, or with the signal. */
export async function pushInspectionImage(options: PushInspectionOptions): Promise<{ reference: string }> {
  const target = getTarget(options.target);
  const layers: Layer[] = [];
  for (const { title, path } of options.files) {
    const file = await hashFile(path, { signal: options.signal, onProgress: () => {} });
    layers.push({ ...file, title, mediaType: 'application/octet-stream' });
  }
  const artifactType = 'application/vnd.selvedge.inspection-system.v1';
  return { reference: await pushArtifact(layers, { ...options, target, artifactType }) };
}

interface Layer extends PackedFile {
  readonly title: string;
  readonly mediaType: string;
}

/** @returns the artifact's name, with digest. */
async function pushArtifact(
  layers: readonly Layer[],
  options: Omit<PushOptions, 'target'> & { readonly target: ImageReference; readonly artifactType: string },
): Promise<string> {
  const { access, target, artifactType, uploads, clock, signal, onProgress = () => {} } = options;
  const { repository, registry } = target;
  const folder = new UploadNotes(uploads);
  await using session = new RegistrySession(access, { repository, signal });
  const totalBytes = layers.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0);
  let before = 0;
  for (const layer of layers) {
    await pushBlob(layer, {
      session,
      repository,
      notes: folder,
      clock,
      signal,
      onProgress: (bytes) => onProgress({ step: 'Sending', doneBytes: before + bytes, totalBytes }),
    });
    before += layer.sizeBytes;
  }
  try {
    await pushConfig(session, repository);
    const manifest = Buffer.from(JSON.stringify(manifestOf(layers, artifactType)));
    const digest = sha256Digest(manifest);
    const answer = await session.ask({
      method: 'PUT',
      url: `/v2/${repository}/manifests/${target.tag ?? 'latest'}`,
      headers: { 'content-type': manifestType },
      body: manifest,
    });
    if (answer.status !== 201) throw refusal(answer, session);
    return `${registry}/${repository}@${digest}`;
  } catch (error) {
    signal.throwIfAborted();
    throw toStatusError(error, session);
  }
}

/** Two bytes, in one request. */
async function pushConfig(session: RegistrySession, repository: string): Promise<void> {
  const { bytes } = emptyConfig;
  const digest = sha256Digest(bytes);
  const there = await session.ask({ method: 'HEAD', url: `/v2/${repository}/blobs/${digest}` });
  if (there.status === 200) return;
  const begun = await session.ask({ method: 'POST', url: `/v2/${repository}/blobs/uploads/` });
  const { location } = begun.headers;
  if (begun.status !== 202 || location === undefined) throw refusal(begun, session);
  const url = new URL(location, session.server);
  url.searchParams.set('digest', digest);
  const headers = { 'content-type': 'application/octet-stream' };
  const answer = await session.ask({ method: 'PUT', url: url.href, headers, body: bytes });
  if (answer.status !== 201) throw refusal(answer, session);
}

function manifestOf(layers: readonly Layer[], artifactType: string): unknown {
  const { mediaType, bytes } = emptyConfig;
  return {
    schemaVersion: 2,
    mediaType: manifestType,
    artifactType,
    config: { mediaType, digest: sha256Digest(bytes), size: bytes.length },
    layers: layers.map((layer) => ({
      mediaType: layer.mediaType,
      digest: layer.digest,
      size: layer.sizeBytes,
      annotations: { 'org.opencontainers.image.title': layer.title },
    })),
  };
}

function getTarget(text: string): ImageReference {
  const target = parseImageReference(text);
  if (target !== undefined && target.digest === undefined) return target;
  throw new StatusError(
    'BadRequest',
    `${text.slice(0, 300)} is no place to push to: write HOST[:PORT]/NAMESPACE/NAME[:TAG]`,
  );
}
