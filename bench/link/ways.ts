import { loadKubeconfig } from '@selvedge/kube';
import type { LinkedCluster } from '../../quickstart/lab/linked-cluster.ts';
import { type Call, Connection } from '../api/connection.ts';

/** One kept connection to a Kubernetes API, straight to it or through the link. */
export class Way {
  readonly #connection: Connection;
  /** What a hub has in front of the site's paths. */
  readonly #prefix: string;

  private constructor(connection: Connection, prefix: string) {
    this.#connection = connection;
    this.#prefix = prefix;
  }

  static async open(kubeconfigPath: string): Promise<Way> {
    const address = await loadKubeconfig(kubeconfigPath);
    const { pathname } = new URL(address.server);
    return new Way(await Connection.open(address), pathname.replace(/\/$/, ''));
  }

  request(call: Call): Promise<string> {
    return this.#connection.request(this.#at(call));
  }

  /** Reads an answer to its end; resolves with the count of its bytes. */
  async drain(path: string): Promise<number> {
    let bytes = 0;
    await this.#connection.drain(this.#at({ method: 'GET', path }), (chunk) => (bytes += chunk.length));
    return bytes;
  }

  /** Watches all objects of a list until it is ended. */
  watch(path: string): { begun: Promise<void>; end: () => void } {
    return this.#connection.open(this.#at({ method: 'GET', path: `${path}?watch=true` }));
  }

  close(): void {
    this.#connection.close();
  }

  #at(call: Call): Call {
    return { ...call, path: this.#prefix + call.path };
  }
}

export interface Ways extends AsyncDisposable {
  readonly direct: Way;
  readonly through: Way;
}

export async function openWays({ cluster, kubeconfigPath }: LinkedCluster): Promise<Ways> {
  const direct = await Way.open(cluster.kubeconfigPath);
  const through = await Way.open(kubeconfigPath);
  return {
    direct,
    through,
    [Symbol.asyncDispose]: async () => {
      direct.close();
      through.close();
    },
  };
}

export const wayNames = ['direct', 'through'] as const;
export type WayName = (typeof wayNames)[number];

/** Does the work by both ways in turns, so that what else the machine does hits both; what it gives for each. */
export async function inTurns(
  rounds: number,
  work: (way: WayName) => Promise<number>,
): Promise<Record<WayName, number[]>> {
  const values: Record<WayName, number[]> = { direct: [], through: [] };
  for (let round = 0; round < rounds; round++) {
    for (const way of wayNames) values[way].push(await work(way));
  }
  return values;
}

/** Seconds that the work takes. */
export async function timed(work: () => Promise<unknown>): Promise<number> {
  const begin = performance.now();
  await work();
  return (performance.now() - begin) / 1000;
}
