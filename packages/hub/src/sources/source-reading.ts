import type { Application, KubeObject } from '@selvedge/api';

/** What a source gave: always the whole of it. */
export interface SourceReading {
  /** What exactly was read, for people and to tell whether it moved: `main@sha1:COMMIT`, `nginx@1.2.3`, `sha256:…`. */
  readonly revision: string;
  readonly manifests: readonly KubeObject[];
  /** Of a chart: what it gives with the values of overrides, by their names in order. */
  readonly variants?: readonly {
    readonly overrides: readonly string[];
    readonly manifests: readonly KubeObject[];
  }[];
}

/** What is added to a source that has not moved. */
export interface AddedReading {
  readonly revision: string;
  /** All that it has then: those that `status.source` names already, by their digest, and those that were read. */
  readonly variants: readonly ({ readonly overrides: readonly string[] } & (
    | { readonly digest: string; readonly manifests?: undefined }
    | { readonly manifests: readonly KubeObject[] }
  ))[];
}

/** Reads sources of one kind. Holds no state that matters: what it keeps on disk can be thrown away. */
export interface SourceReader {
  /**
   * What the source would give now, without reading it: undefined when that costs as much as reading. The same text as
   * `SourceReading.revision`.
   */
  findRevision(application: Application, signal: AbortSignal): Promise<string | undefined>;
  /** Whether the source can never give anything else: it is read once. Absent: it may move. */
  isFixed?(application: Application): boolean;
  /** Whether more is needed by now than `status.source` names (a chart, with values of other overrides). */
  isLacking?(application: Application): boolean;
  /** Reads only what is lacking: what was read of a revision is not read again, because a chart may give something else each time. */
  readLacking?(application: Application, signal: AbortSignal): Promise<AddedReading>;
  /** The controller is told by other means when it moves (`SourceParts.wakes`), so it is not asked every so often. */
  readonly isWatched?: true;
  /** Throws `SourceError`. */
  read(application: Application, signal: AbortSignal): Promise<SourceReading>;
}

/** Reasons of the condition `SourceReady` when it is False. */
export const sourceFaults = [
  /** Not reached, or it answered with a fault of its own: asked again. */
  'SourceUnavailable',
  /** It was reached and refused the credentials. */
  'AuthenticationFailed',
  /** A Secret or ConfigMap that it names is missing, or lacks a key. */
  'ReferenceMissing',
  /** The branch, tag, commit, chart, artifact or folder is not there. */
  'NotFound',
  /** What stands there cannot be read or rendered: a person has to change it. */
  'RenderFailed',
  /** It was read well, and there is no manifest in it. Never a reason to remove anything. */
  'SourceEmpty',
  /** It was read well, and most of what it gave before is not in it: a person has to say that this is meant. */
  'SourceShrunk',
  /** Larger, slower or deeper than allowed. */
  'LimitExceeded',
  /** A program that it needs (helm, git, kubectl) is not on this hub. */
  'ProgramMissing',
  /** A manifest is refused; the message names it. */
  'InvalidManifests',
] as const;
export type SourceFault = (typeof sourceFaults)[number];

export class SourceError extends Error {
  override readonly name = 'SourceError';
  readonly fault: SourceFault;

  constructor(fault: SourceFault, message: string, options: { cause?: unknown } = {}) {
    super(message, options);
    this.fault = fault;
  }
}
