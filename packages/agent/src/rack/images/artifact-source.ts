import type { MachineArchitecture } from '@selvedge/api';

/** A layer of an OCI artifact, as a file of this machine: read only, and there for sure only while the artifact is needed. */
export interface ArtifactLayer {
  /** Annotation `org.opencontainers.image.title`. */
  readonly title?: string;
  /** `sha256:…`. */
  readonly digest: string;
  readonly sizeBytes: number;
  readonly path: string;
}

export interface ArtifactRequest {
  /** With digest. */
  readonly reference: string;
  /** Whose logins open its registry. */
  readonly namespace: string;
  /** Of an index this one is taken. */
  readonly architecture: MachineArchitecture;
  /** false: only what is here counts. */
  readonly mayFetch: boolean;
  readonly onProgress: (progress: { readonly doneBytes: number; readonly totalBytes: number }) => void;
  readonly signal: AbortSignal;
}

/** Where the rack has disk images and boot files from. */
export interface ArtifactSource {
  /** The layers, fetched as far as that is needed. Undefined: something is missing and may not be fetched. Throws DepotError, or with the signal. */
  bring(request: ArtifactRequest): Promise<readonly ArtifactLayer[] | undefined>;
  /** All that the rack needs: the rest is let go. */
  setNeeded(references: readonly string[]): Promise<void>;
  /** What is here of it is not as its digests say: such parts are removed. @returns whether there were any. */
  doubt(reference: string): Promise<boolean>;
}
