import { Readable, Transform, type TransformCallback } from 'node:stream';
import { badRequest } from '@selvedge/api';
import type { LibpodClient } from '../libpod-client.ts';
import { readOutput } from './output-reader.ts';

/** `v1.PodLogOptions` as a query says them. */
export interface LogOptions {
  readonly follow: boolean;
  readonly timestamps: boolean;
  readonly tailLines?: number;
  /** RFC 3339. */
  readonly since?: string;
  readonly limitBytes?: number;
}

/** Throws BadRequest. `now`: milliseconds. */
export function readLogOptions(query: URLSearchParams, now: number): LogOptions {
  const number = (name: string, least: number): number | undefined => {
    const text = query.get(name);
    if (text === null || text === '') return undefined;
    const value = Number(text);
    if (!Number.isInteger(value) || value < least) {
      throw badRequest(`${name}: ${JSON.stringify(text)} is no whole number of at least ${least}`);
    }
    return value;
  };
  const sinceSeconds = number('sinceSeconds', 1);
  const sinceTime = query.get('sinceTime') ?? '';
  if (sinceSeconds !== undefined && sinceTime !== '') {
    throw badRequest('at most one of sinceTime and sinceSeconds may be specified');
  }
  if (sinceTime !== '' && Number.isNaN(Date.parse(sinceTime))) {
    throw badRequest(`sinceTime: ${JSON.stringify(sinceTime)} is no RFC 3339 time`);
  }
  const since = sinceSeconds === undefined ? sinceTime : new Date(now - sinceSeconds * 1000).toISOString();
  const tailLines = number('tailLines', 0);
  const limitBytes = number('limitBytes', 1);
  return {
    follow: query.get('follow') === 'true',
    timestamps: query.get('timestamps') === 'true',
    ...(tailLines === undefined ? {} : { tailLines }),
    ...(since === '' ? {} : { since }),
    ...(limitBytes === undefined ? {} : { limitBytes }),
  };
}

/** What a container wrote, as plain text; with `follow` until it ends or the signal fires. */
export async function openPodLog(
  client: LibpodClient,
  containerId: string,
  { options, signal }: { options: LogOptions; signal: AbortSignal },
): Promise<Readable> {
  const { follow, timestamps, tailLines, since, limitBytes } = options;
  const res = await client.open({
    path: `/containers/${containerId}/logs`,
    query: { stdout: true, stderr: true, follow, timestamps, tail: tailLines, since },
    signal,
  });
  const text = Readable.from(bytesOf(res), { objectMode: false, highWaterMark: 64 * 1024 });
  text.once('close', () => res.destroy());
  if (limitBytes === undefined) return text;
  const limited = new ByteLimit(limitBytes);
  text.on('error', (error) => limited.destroy(error));
  limited.once('close', () => text.destroy());
  return text.pipe(limited);
}

async function* bytesOf(res: Readable): AsyncGenerator<Buffer> {
  for await (const { bytes } of readOutput(res)) yield bytes;
}

class ByteLimit extends Transform {
  #left: number;

  constructor(limit: number) {
    super();
    this.#left = limit;
  }

  override _transform(chunk: Buffer, _encoding: BufferEncoding, callback: TransformCallback): void {
    if (this.#left <= 0) {
      callback();
      return;
    }
    const part = chunk.subarray(0, this.#left);
    this.#left -= part.length;
    this.push(part);
    if (this.#left <= 0) this.push(null);
    callback();
  }
}
