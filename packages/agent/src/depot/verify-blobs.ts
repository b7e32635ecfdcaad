import { createHash } from 'node:crypto';
import type { BlobDescriptor, BlobFiles } from './blob-files.ts';

/** Reads blobs whole. @returns those that are here and are not what their digest says. */
export async function verifyBlobs(
  files: BlobFiles,
  blobs: readonly BlobDescriptor[],
  signal: AbortSignal,
): Promise<string[]> {
  const damaged: string[] = [];
  for (const { digest } of blobs) {
    signal.throwIfAborted();
    if ((await files.findSize(digest)) === undefined) continue;
    const hash = createHash('sha256');
    try {
      for await (const chunk of files.stream(digest) as AsyncIterable<Buffer>) {
        signal.throwIfAborted();
        hash.update(chunk);
      }
      if (`sha256:${hash.digest('hex')}` !== digest) damaged.push(digest);
    } catch (error) {
      signal.throwIfAborted();
      // Only the disk's own word counts: what this process may not read, or has no memory for, is as good as ever.
      if ((error as NodeJS.ErrnoException).code === 'EIO') damaged.push(digest);
    }
  }
  return damaged;
}
