import type { DesiredState } from './sync-protocol.ts';

/**
 * A site's desired state and all that it needs for it as one file, for a site that no network reaches: `selvedge site export` writes it,
 * `selvedge-agent import` takes it. A tar archive of plain files, in this order:
 *
 * - `selvedge-site.json`: `SiteArchiveHead`.
 * - `content/sha256/HEX`: content of releases, as `contents` lists it.
 * - `sealed/N`: `SealedValue` of `sealed[N]`, as JSON.
 * - `oci-layout`, `index.json`, `blobs/sha256/HEX`: the images, as an OCI image layout. Left out without images.
 *
 * Nothing in it is believed for standing in it: the state is signed by the fleet key and names content by its digest, sealed values are signed one by one,
 * and `signedImages` says which digest each image's name stands for. It holds manifests as they are, Secrets in them too; not those of `spec.secrets`,
 * which are sealed to the site's own key.
 */
export const siteArchiveFormat = 'selvedge-site/v1';
export const siteArchiveHeadName = 'selvedge-site.json';
/** Of `selvedge-site.json`. */
export const longestSiteArchiveHead = 32 * 1024 * 1024;
export const siteArchiveMediaType = 'application/vnd.selvedge.site.v1.tar';

export interface ArchivedBlob {
  readonly digest: string;
  readonly sizeBytes: number;
}

export interface ArchivedImage {
  /** As the manifests name it. */
  readonly name: string;
  /** Of its manifest, or of its index. */
  readonly digest: string;
}

export interface SiteArchiveHead {
  readonly format: typeof siteArchiveFormat;
  readonly hubId: string;
  /** Which living store made it: `SyncResponse.instance`. */
  readonly instance: string;
  /** When. RFC 3339. */
  readonly hubTime: string;
  readonly site: string;
  readonly siteUid: string;
  /** JWS over `SignedStateHeader`, and the whole state that it covers. */
  readonly signed: string;
  readonly state: DesiredState;
  readonly contents: readonly ArchivedBlob[];
  readonly sealed: readonly { readonly id: string; readonly version: string }[];
  /** JWS (compact, EdDSA, by the fleet key) over canonical JSON of `SignedImages`; absent without images. */
  readonly signedImages?: string;
  /** Of the images, each once; those that were named as being there already are left out. */
  readonly blobs: readonly ArchivedBlob[];
  /** What the site needs and is not in it, and why; for people. */
  readonly leftOut: readonly string[];
}

export interface SignedImages {
  readonly hubId: string;
  readonly site: string;
  readonly siteUid: string;
  /** Of the state that needs them. */
  readonly epoch: number;
  readonly images: readonly ArchivedImage[];
}

/** What `sites/NAME/export` is asked for, as the body of a POST. */
export interface SiteExportRequest {
  readonly apiVersion: 'selvedge.dev/v1alpha1';
  readonly kind: 'SiteExportRequest';
  /** Default: true. */
  readonly images?: boolean;
  /** Digests of blobs that the site has already; at most 20,000. */
  readonly have?: readonly string[];
}

/** Where a blob stands in the archive: `content/sha256/HEX`, `blobs/sha256/HEX`. */
export function archivedBlobName(folder: 'content' | 'blobs', digest: string): string {
  return `${folder}/${digest.replace(':', '/')}`;
}
