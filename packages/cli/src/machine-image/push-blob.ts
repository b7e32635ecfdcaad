import { type Clock, StatusError } from '@selvedge/api';
import type { RegistryAnswer, RegistrySession } from './registry-session.ts';
import type { UploadNotes } from './upload-notes.ts';

export interface Blob {
  readonly digest: string;
  readonly sizeBytes: number;
  readonly path: string;
}

export interface PushBlobOptions {
  readonly session: RegistrySession;
  readonly repository: string;
  readonly notes: UploadNotes;
  readonly clock: Clock;
  readonly signal: AbortSignal;
  /** Bytes of the blob that the registry has. */
  readonly onProgress: (bytes: number) => void;
}

interface Upload {
  /** Where it goes on; changes with each part. */
  readonly location: string;
  /** Bytes that the registry has. */
  readonly offset: number;
}

/** The hub ends a request after five minutes: what a thin link can send in that time. */
const partBytes = 8 * 1024 * 1024;
/** Registries count the parts of an upload. */
const mostParts = 5000;
/** Tries in a row that brought nothing. */
const mostFruitless = 6;
const firstPauseMs = 500;
const longestPauseMs = 30_000;

/** Sends a blob in parts; goes on where it was cut off, also with what an earlier run of the command sent. Throws StatusError, or with the signal. */
export async function pushBlob(blob: Blob, options: PushBlobOptions): Promise<void> {
  const { session, repository, notes, clock, signal, onProgress } = options;
  const key = `${session.server} ${repository} ${blob.digest}`;
  let reached = 0;
  for (let fruitless = 0; ; ) {
    try {
      if (await isThere(blob, options)) break;
      const upload = (await resume(await notes.find(key), options)) ?? (await begin(options));
      await sendAll(blob, upload, {
        ...options,
        onPart: async ({ location, offset }) => {
          if (offset > reached) fruitless = 0;
          reached = Math.max(reached, offset);
          onProgress(offset);
          await notes.note(key, location);
        },
      });
      break;
    } catch (error) {
      signal.throwIfAborted();
      fruitless += 1;
      if (error instanceof LostUpload) await notes.remove(key);
      if (isFinal(error) || fruitless >= mostFruitless) throw toStatusError(error, session);
      await clock.sleep(
        Math.min(longestPauseMs, firstPauseMs * 2 ** fruitless) * (0.75 + Math.random() / 2),
        signal,
      );
      signal.throwIfAborted();
    }
  }
  await notes.remove(key);
  onProgress(blob.sizeBytes);
}

async function isThere(
  { digest, sizeBytes }: Blob,
  { session, repository }: PushBlobOptions,
): Promise<boolean> {
  const answer = await session.ask({ method: 'HEAD', url: `/v2/${repository}/blobs/${digest}` });
  const { status, headers } = answer;
  // Led to where it keeps blobs: it has it.
  if (status === 307 || status === 302) return true;
  if (status === 200) return Number(headers['content-length'] ?? sizeBytes) === sizeBytes;
  if (status === 404) return false;
  throw refusal(answer, session);
}

/** What the registry has of an upload that was begun; undefined: it does not know it any more. */
async function resume(location: string | undefined, options: PushBlobOptions): Promise<Upload | undefined> {
  if (location === undefined) return undefined;
  const { session } = options;
  const { status, headers } = await session.ask({ method: 'GET', url: location });
  if (status !== 204 && status !== 202) return undefined;
  return { location: headers.location ?? location, offset: nextByte(headers.range) };
}

async function begin({ session, repository }: PushBlobOptions): Promise<Upload> {
  const answer = await session.ask({ method: 'POST', url: `/v2/${repository}/blobs/uploads/` });
  const { location } = answer.headers;
  if (answer.status !== 202 || location === undefined) throw refusal(answer, session);
  return { location, offset: 0 };
}

async function sendAll(
  { digest, sizeBytes, path }: Blob,
  begun: Upload,
  options: PushBlobOptions & { readonly onPart: (upload: Upload) => Promise<void> },
): Promise<void> {
  const { session, onPart, onProgress } = options;
  const length = Math.max(partBytes, Math.ceil(sizeBytes / mostParts));
  let upload = begun;
  await onPart(upload);
  while (upload.offset < sizeBytes) {
    const { location, offset: start } = upload;
    const part = { path, start, length: Math.min(length, sizeBytes - start) };
    let sent = start;
    const answer = await session.ask({
      method: 'PATCH',
      url: location,
      headers: {
        'content-type': 'application/octet-stream',
        'content-range': `${start}-${start + part.length - 1}`,
      },
      body: part,
      onSent: (bytes) => onProgress((sent += bytes)),
    });
    const { status, headers } = answer;
    if (status === 404 || status === 416) throw new LostUpload(`${session.server} lost the upload`);
    if (status !== 202 && status !== 204) throw refusal(answer, session);
    upload = {
      location: headers.location ?? location,
      offset: headers.range === undefined ? start + part.length : nextByte(headers.range),
    };
    await onPart(upload);
  }
  const finished = await session.ask({
    method: 'PUT',
    url: withDigest(upload.location, digest, session.server),
  });
  if (finished.status === 404 || finished.status === 400) throw new LostUpload(reasonOf(finished));
  if (finished.status !== 201 && finished.status !== 204) throw refusal(finished, session);
}

/** The registry does not know the upload any more, or what it has of it is not what it should be: it is begun anew. */
class LostUpload extends Error {
  override readonly name = 'LostUpload';
}

function nextByte(range: string | undefined): number {
  const last = Number(/(?:^|=)0-(\d+)$/.exec(range ?? '')?.[1] ?? 0);
  // `0-0` is what a registry says that has nothing yet.
  return last === 0 ? 0 : last + 1;
}

function withDigest(location: string, digest: string, server: string): string {
  const url = new URL(location, server);
  url.searchParams.set('digest', digest);
  return url.href;
}

/** What the registry says to no purpose of ours; its code decides whether asking again may help. */
export function refusal(answer: RegistryAnswer, { server }: RegistrySession): StatusError {
  const { status } = answer;
  const message = `${server} refuses: ${reasonOf(answer)}`;
  if (status === 403 || status === 405) return new StatusError('Forbidden', message);
  if (status === 404) return new StatusError('NotFound', message);
  if (status === 429) return new StatusError('TooManyRequests', message);
  if (status >= 500 && status !== 507) return new StatusError('ServiceUnavailable', message);
  return new StatusError('BadRequest', message);
}

/** As the distribution specification has errors; from anybody, so for people only. */
function reasonOf({ status, text }: RegistryAnswer): string {
  try {
    const { errors } = JSON.parse(text) as { errors: { code?: unknown; message?: unknown }[] };
    const [first] = errors;
    if (first !== undefined) return `${String(first.message ?? first.code).slice(0, 300)} (${status})`;
  } catch {
    // Said below.
  }
  return `status ${status}`;
}

function isFinal(error: unknown): boolean {
  if (!(error instanceof StatusError))
    return ['ENOENT', 'EACCES'].includes(String((error as NodeJS.ErrnoException).code));
  return error.reason !== 'ServiceUnavailable' && error.reason !== 'TooManyRequests';
}

/** @param session to which registry it was. */
export function toStatusError(error: unknown, { server }: RegistrySession): StatusError {
  if (error instanceof StatusError) return error;
  const why =
    error instanceof Error ? error.message || String((error as NodeJS.ErrnoException).code) : String(error);
  return new StatusError('ServiceUnavailable', `pushing to ${server} failed: ${why}`, { cause: error });
}
