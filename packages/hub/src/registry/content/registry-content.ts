import type { Readable } from 'node:stream';
import type { ObjectClient } from '@selvedge/api';

export interface StoredManifest {
  readonly digest: string;
  readonly mediaType: string;
  readonly bytes: Buffer;
}

/** https://github.com/opencontainers/image-spec/blob/main/descriptor.md */
export interface Descriptor {
  readonly mediaType: string;
  readonly digest: string;
  readonly size: number;
  readonly artifactType?: string;
  readonly annotations?: Readonly<Record<string, string>>;
}

export interface UploadPart {
  /** Where it goes on, when the client says so; another place than the end of what is there is refused. */
  readonly offset?: number | undefined;
  /** Ends without an error when the client is gone: what came counts. */
  readonly body: AsyncIterable<Uint8Array>;
}

export interface UploadState {
  /** No secret, and no right; another one after each part where another registry keeps the content. */
  readonly id: string;
  /** How much of it is here. */
  readonly sizeBytes: number;
}

export interface Collected {
  readonly blobs: number;
  readonly bytes: number;
  readonly uploads: number;
  /** What is left, as it was seen. */
  readonly left: { readonly blobs: number; readonly bytes: number };
}

/**
 * What the hub's registry holds: manifests, tags and blobs of repositories. Who may do what has been decided before; names, tags and digests have been
 * checked. A blob is in a repository when it was uploaded or mounted there. Throws DistributionError.
 */
export interface RegistryContent {
  /** For messages and logs. */
  readonly name: string;
  findManifest(repository: string, reference: string): Promise<StoredManifest | undefined>;
  /** Refuses one that names what the repository does not have. Idempotent. */
  putManifest(
    repository: string,
    reference: string,
    manifest: { readonly mediaType: string; readonly bytes: Buffer },
  ): Promise<{ readonly digest: string; readonly subject: string | undefined }>;
  /** A tag alone, or the manifest of a digest with all its tags. False: it was not there. */
  deleteManifest(repository: string, reference: string): Promise<boolean>;
  /** In order; undefined: there is no such repository. */
  listTags(repository: string): Promise<string[] | undefined>;
  listReferrers(repository: string, digest: string): Promise<Descriptor[]>;
  findBlob(repository: string, digest: string): Promise<{ readonly sizeBytes: number } | undefined>;
  openBlob(
    repository: string,
    digest: string,
    range?: { readonly offset: number; readonly length: number },
  ): Promise<Readable | undefined>;
  deleteBlob(repository: string, digest: string): Promise<boolean>;
  /** False: it is not in the other repository. */
  mountBlob(repository: string, digest: string, from: string): Promise<boolean>;
  startUpload(repository: string): Promise<UploadState>;
  findUpload(repository: string, id: string): Promise<UploadState>;
  appendUpload(repository: string, id: string, part: UploadPart): Promise<UploadState>;
  /** Refuses, and gives the upload up, when its digest is another one. */
  finishUpload(repository: string, id: string, digest: string): Promise<void>;
  cancelUpload(repository: string, id: string): Promise<void>;
  /** In order. */
  listRepositories(): Promise<string[]>;
  /** Removes all repositories whose names begin with this component. */
  removeNamespace(namespace: string, signal: AbortSignal): Promise<void>;
  /** Removes what nothing refers to and nobody has touched since `before`. Absent: somebody else does it. */
  collect?(before: Date, signal: AbortSignal): Promise<Collected>;
  /** Throws when the hubs on one database have different storages. Absent: that cannot be told. */
  checkShared?(client: ObjectClient): Promise<void>;
}
