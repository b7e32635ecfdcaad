import type { GitSource } from '@selvedge/api';

export interface GitRequest {
  readonly source: GitSource;
  /** Of the Application: where the Secrets stand that the source names. */
  readonly namespace: string;
  /** RFC 3339: an answer that was asked for before this is too old. Absent: one of the last seconds will do. */
  readonly askedTime?: string;
  readonly signal: AbortSignal;
}

export interface GitCommit {
  /** Full object name, in hexadecimal. */
  readonly commit: string;
  /** For people, and to tell whether it moved: `main@sha1:COMMIT`. */
  readonly revision: string;
}

/** Repositories of others. Every method throws `SourceError`; no message holds a credential. */
export interface GitRepositories {
  /** What the source's ref stands for now, without fetching it. Requests for one repository at the same time are one. */
  findCommit(request: GitRequest): Promise<GitCommit>;
  /**
   * Writes the files of a commit (submodules too where the source says so; no `.git`) into an empty folder of the caller's. Nothing
   * outside of that folder is written. Symbolic links stay as they are: who reads the folder looks where they lead.
   */
  checkOut(request: GitRequest & { readonly commit: string; readonly folder: string }): Promise<void>;
}
