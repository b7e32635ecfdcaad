import type { OciSource } from '@selvedge/api';

export interface ArtifactRequest {
  /** `registry/repository`, without tag and digest. */
  readonly repository: string;
  /** Of the Application: whose logins count. */
  readonly namespace: string;
  readonly registryCredential?: OciSource['registryCredential'];
  /** Of a chart repository: takes the place of what RegistryCredentials say. */
  readonly login?: { readonly username: string; readonly password: string };
  readonly signal: AbortSignal;
}

/** What of an OCI image manifest matters here. */
export interface ArtifactManifest {
  readonly digest: string;
  readonly mediaType: string;
  readonly artifactType?: string;
  readonly config: { readonly mediaType: string; readonly digest: string; readonly size: number };
  readonly layers: readonly {
    readonly mediaType: string;
    readonly digest: string;
    readonly size: number;
    readonly annotations?: Readonly<Record<string, string>>;
  }[];
}

/** Artifacts in OCI registries. Every method throws `SourceError`; no message holds a credential. Digests are verified. */
export interface ArtifactRegistry {
  /** Digest (`sha256:…`) that a tag or digest stands for now. */
  findDigest(request: ArtifactRequest, reference: string): Promise<string>;
  fetchManifest(request: ArtifactRequest, digest: string): Promise<ArtifactManifest>;
  /** The whole of a blob; one that is larger is refused with `LimitExceeded`. */
  fetchBlob(request: ArtifactRequest, digest: string, maxBytes: number): Promise<Uint8Array>;
  /** All tags, at most 10,000. */
  listTags(request: ArtifactRequest): Promise<readonly string[]>;
}
