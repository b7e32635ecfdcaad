import type { IncomingMessage } from 'node:http';

/** All bytes of an answer; one that is longer, or silent for half a minute, is cut off with an error. */
export async function readLimited(answer: IncomingMessage, longestBytes: number): Promise<Buffer> {
  const chunks: Buffer[] = [];
  let length = 0;
  answer.setTimeout(longestSilenceMs, () => answer.destroy(new Error('the answer broke off')));
  for await (const chunk of answer as AsyncIterable<Buffer>) {
    length += chunk.length;
    if (length > longestBytes) {
      answer.destroy();
      throw new Error(`the answer is longer than ${longestBytes} bytes`);
    }
    chunks.push(chunk);
  }
  return Buffer.concat(chunks);
}

const longestSilenceMs = 30_000;
