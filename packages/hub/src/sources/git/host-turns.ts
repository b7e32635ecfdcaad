import { Limiter } from '../../concurrency/limiter.ts';
import type { GitRemote } from './git-access.ts';

/** git costs memory and cores: so many at once. */
const maxAtOnce = 6;
/** A host that does not answer must not take all turns. */
const maxPerHost = 2;

/** Who may call git now. */
export class HostTurns {
  readonly #all = new Limiter(maxAtOnce);
  readonly #hosts = new Map<string, { limiter: Limiter; users: number }>();

  async run<T>({ address }: GitRemote, work: () => Promise<T>): Promise<T> {
    const host = this.#hosts.get(address.host) ?? { limiter: new Limiter(maxPerHost), users: 0 };
    this.#hosts.set(address.host, host);
    host.users += 1;
    try {
      return await host.limiter.run(() => this.#all.run(work));
    } finally {
      host.users -= 1;
      if (host.users === 0) this.#hosts.delete(address.host);
    }
  }
}
