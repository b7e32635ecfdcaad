import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';

const mostBytes = 8 * 1024 * 1024;

type Collect = (options: { readonly type: 'minor' }) => void;

/**
 * Whatever streams gigabytes through short-lived buffers tells how many bytes it has let go. V8 waits for 64 MB of such garbage before it looks, which is more than a rack may
 * take; what is young is found in less than a millisecond.
 */
class PieceGarbage {
  #bytes = 0;
  #collect: Collect | undefined;

  add(bytes: number): void {
    this.#bytes += bytes;
    if (this.#bytes < mostBytes) return;
    this.#bytes = 0;
    this.#collect ??= findCollector();
    this.#collect({ type: 'minor' });
  }
}

/** Of the process, as its memory is. */
export const pieceGarbage = new PieceGarbage();

function findCollector(): Collect {
  setFlagsFromString('--expose-gc');
  const collect = runInNewContext('gc') as Collect;
  setFlagsFromString('--no-expose-gc');
  return collect;
}
