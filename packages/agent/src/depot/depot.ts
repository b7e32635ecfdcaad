/** An image that is whole and verified in the depot. */
export interface DepotImage {
  /** As the manifests name it. */
  readonly name: string;
  /** Of its manifest for this machine's platform, or of the index where the name leads to one. */
  readonly digest: string;
  /** Of all its blobs, compressed. */
  readonly sizeBytes: number;
  /** Where the runtime of this machine pulls it from, without TLS: `127.0.0.1:PORT/registry/repository@sha256:…`. */
  readonly pullReference: string;
}

/** A layer of an image or artifact, as a file of this machine: to be read only, and there for sure only while a holder needs the image. */
export interface DepotLayer {
  /** Annotation `org.opencontainers.image.title`: the name of the file that the layer is. */
  readonly title?: string;
  readonly digest: string;
  readonly sizeBytes: number;
  readonly path: string;
}

export interface DepotProgress {
  readonly doneBytes: number;
  readonly totalBytes: number;
  /** When it should be whole, by the machine's clock. */
  readonly doneAt?: Date;
}

export interface DepotRequest {
  /** false: only what is here counts; nothing goes over the link. */
  readonly mayFetch: boolean;
  /** Of the application that needs it: for its credentials, and for its right to the image, which only registries know. */
  readonly namespace: string;
  /** Goes before the site's credentials: of the pod's `imagePullSecrets`. */
  readonly login?: { readonly username: string; readonly password: string } | undefined;
  /** What a tag leads to is looked up anew; when its registry cannot be reached, it leads to what is here. */
  readonly isFresh?: boolean;
  /** Of the machines that are to run it, as OCI names them. Default: this one's. */
  readonly architectures?: readonly string[];
  /** Called about once a second while it is fetched. */
  readonly onProgress?: (progress: DepotProgress) => void;
  readonly signal: AbortSignal;
}

/**
 * Images of a site: each blob is fetched once, resumed after a cut, verified, and served to the site's nodes as a read-only registry, with the
 * hub and every registry away too.
 */
export interface Depot {
  /**
   * The image, fetched as far as that is needed. Undefined: something is missing and may not be fetched. Callers that want the same image
   * share one fetch. What was fetched for another namespace is given only after the registry has been asked with the login of this one. Throws
   * DepotError, or with the signal.
   */
  ensure(image: string, request: DepotRequest): Promise<DepotImage | undefined>;
  /** The image, when it is whole here. */
  find(image: string): Promise<DepotImage | undefined>;
  /** The layers of an image or artifact (of an index: of the first of its images that is here), when it is whole here. */
  findLayers(image: string): Promise<readonly DepotLayer[] | undefined>;
  /**
   * The images that a holder (an item of the desired state, or the rack) needs: what runs, what is prepared, what it goes back to. Nothing that a holder needs is ever given
   * up for space. Kept over restarts until it is said anew; an empty list lets go.
   */
  setNeeded(holder: string, images: readonly string[]): Promise<void>;
  /** Who needs what, as far as it was said. */
  needed(): Promise<ReadonlyMap<string, readonly string[]>>;
  /**
   * Whoever pulled the image could not use it: what is not as its digest says (a broken disk) is removed, to be fetched again. @returns whether
   * something was.
   */
  doubt(image: string): Promise<boolean>;
}

export class DepotError extends Error {
  override readonly name = 'DepotError';
  readonly reason: 'Unavailable' | 'Denied' | 'NotFound' | 'DigestMismatch' | 'StorageFull' | 'Invalid';
  /** Asking again will hardly help. */
  readonly isLasting: boolean;
  /** Denied to one who had no login. */
  readonly wantsLogin: boolean;

  constructor(
    reason: DepotError['reason'],
    message: string,
    options: { isLasting: boolean; wantsLogin?: boolean; cause?: unknown },
  ) {
    super(message, { cause: options.cause });
    this.reason = reason;
    this.isLasting = options.isLasting;
    this.wantsLogin = options.wantsLogin ?? false;
  }
}
