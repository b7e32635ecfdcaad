import { type Duplex, duplexPair } from 'node:stream';

/** Two ends of one connection within this process: when one is destroyed, the other is too. */
export function connectedPair(): [Duplex, Duplex] {
  const [near, far] = duplexPair({ highWaterMark: 64 * 1024 });
  near.once('close', () => far.destroy());
  far.once('close', () => {
    // What was written is still to be read.
    if (!far.writableFinished) near.destroy();
  });
  return [near, far];
}
