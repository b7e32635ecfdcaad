import { Connection, type ApiAddress } from './connection.ts';
import { configMap, namespace, nextRound, statusPatch } from './sample-objects.ts';

export type WriteVerb = 'create' | 'update' | 'patch status';

/** What the load program can be asked to do. Every job opens its own connection. */
export type LoadJob =
  | { readonly kind: 'namespace'; readonly name: string }
  /** Makes ConfigMaps `PREFIX-N`. */
  | { readonly kind: 'fill'; readonly namespace: string; readonly prefix: string; readonly count: number }
  | {
      readonly kind: 'write';
      readonly verb: WriteVerb;
      readonly namespace: string;
      readonly clients: number;
      readonly operations: number;
    }
  | { readonly kind: 'list'; readonly namespace: string; readonly rounds: number; readonly parse: boolean }
  | {
      readonly kind: 'watch';
      readonly namespace: string;
      readonly watchers: number;
      readonly rounds: number;
    };

export interface LoadResult {
  /** Of each round, or of the whole job. */
  readonly seconds: readonly number[];
  /** CPU time of this program in those seconds, as a share of one core. */
  readonly clientShare: number;
  readonly operations: number;
  /** Bytes of one answer, where that is the point. */
  readonly bytes: number;
}

const watchesPerConnection = 100;
const fillClients = 64;
let made = 0;

export async function runJob(address: ApiAddress, job: LoadJob): Promise<LoadResult> {
  const connection = await Connection.open(address);
  try {
    switch (job.kind) {
      case 'namespace':
        await connection.request({ method: 'POST', path: '/api/v1/namespaces', body: namespace(job.name) });
        return { seconds: [], clientShare: 0, operations: 1, bytes: 0 };
      case 'fill':
        return await fill(connection, job);
      case 'write':
        return await write(connection, job);
      case 'list':
        return await list(connection, job);
      case 'watch':
        return await watch(connection, address, job);
    }
  } finally {
    connection.close();
  }
}

const configMapsOf = (of: string) => `/api/v1/namespaces/${of}/configmaps`;

async function fill(connection: Connection, job: LoadJob & { kind: 'fill' }): Promise<LoadResult> {
  const path = configMapsOf(job.namespace);
  let next = 0;
  return timed(job.count, () =>
    inParallel(fillClients, async () => {
      for (let i = next++; i < job.count; i = next++) {
        await connection.request({
          method: 'POST',
          path,
          body: configMap(job.namespace, `${job.prefix}-${i}`),
        });
      }
    }),
  );
}

/** Each client has an object of its own, as controllers have: what is measured is speed, not conflicts. */
async function write(connection: Connection, job: LoadJob & { kind: 'write' }): Promise<LoadResult> {
  const { clients, operations } = job;
  const once = await writerOf(connection, job);
  let left = Math.ceil(operations / 10);
  const run = () =>
    inParallel(clients, async (client) => {
      while (left-- > 0) await once(client);
    });
  await run();
  left = operations;
  return timed(operations, run);
}

async function writerOf(
  connection: Connection,
  { verb, namespace: of, clients }: LoadJob & { kind: 'write' },
): Promise<(client: number) => Promise<void>> {
  const path = configMapsOf(of);
  switch (verb) {
    case 'create':
      return async () => {
        await connection.request({ method: 'POST', path, body: configMap(of, `created-${made++}`) });
      };
    case 'update': {
      const objects = await inParallel(clients, () =>
        connection.request({ method: 'POST', path, body: configMap(of, `updated-${made++}`) }),
      );
      const names = objects.map((text) => nameIn(text));
      return async (client) => {
        const body = nextRound(objects[client] ?? '', made++);
        objects[client] = await connection.request({ method: 'PUT', path: `${path}/${names[client]}`, body });
      };
    }
    case 'patch status': {
      const objects = await inParallel(clients, () =>
        connection.request({
          method: 'POST',
          path: '/api/v1/namespaces',
          body: namespace(`${of}-${made++}`),
        }),
      );
      const names = objects.map((text) => nameIn(text));
      const contentType = 'application/merge-patch+json';
      return async (client) => {
        const target = `/api/v1/namespaces/${names[client]}/status`;
        await connection.request({ method: 'PATCH', path: target, body: statusPatch(made++), contentType });
      };
    }
  }
}

const nameIn = (text: string) => (JSON.parse(text) as { metadata: { name: string } }).metadata.name;

async function list(connection: Connection, job: LoadJob & { kind: 'list' }): Promise<LoadResult> {
  const seconds: number[] = [];
  let bytes = 0;
  const usedBefore = process.cpuUsage();
  const began = performance.now();
  for (let round = 0; round < job.rounds; round++) {
    const started = performance.now();
    const call = { method: 'GET', path: configMapsOf(job.namespace) } as const;
    if (job.parse) {
      const text = await connection.request(call);
      const { items } = JSON.parse(text) as { items: unknown[] };
      if (items.length === 0) throw new Error('the list is empty');
    } else {
      bytes = 0;
      await connection.drain(call, (chunk) => {
        bytes += chunk.length;
      });
    }
    seconds.push((performance.now() - started) / 1000);
  }
  return { seconds, operations: job.rounds, bytes, clientShare: shareSince(usedBefore, began) };
}

async function watch(
  connection: Connection,
  address: ApiAddress,
  { namespace: of, watchers, rounds }: LoadJob & { kind: 'watch' },
): Promise<LoadResult> {
  const path = configMapsOf(of);
  let object = await connection.request({ method: 'POST', path, body: configMap(of, `watched-${made++}`) });
  const { metadata } = JSON.parse(object) as { metadata: { name: string; resourceVersion: string } };
  const connections = await inParallel(Math.ceil(watchers / watchesPerConnection), () =>
    Connection.open(address),
  );
  let told = 0;
  let allTold = () => {};
  try {
    const query = `watch=true&resourceVersion=${metadata.resourceVersion}&timeoutSeconds=600`;
    const onChunk = (chunk: Buffer) => {
      // An event ends with a line break.
      if (chunk.at(-1) === 10 && ++told === watchers) allTold();
    };
    await inParallel(connections.length, async (index) => {
      for (let i = index; i < watchers; i += connections.length) {
        await new Promise<void>((resolve, reject) => {
          const call = { method: 'GET', path: `${path}?${query}` } as const;
          connections[index]?.drain(call, onChunk, resolve).catch(reject);
        });
      }
    });
    const change = async () => {
      const everybody = new Promise<void>((resolve) => {
        allTold = resolve;
      });
      told = 0;
      const body = nextRound(object, made++);
      object = await connection.request({ method: 'PUT', path: `${path}/${metadata.name}`, body });
      await everybody;
    };
    for (let round = 0; round < 5; round++) await change();
    const seconds: number[] = [];
    const usedBefore = process.cpuUsage();
    const began = performance.now();
    for (let round = 0; round < rounds; round++) {
      const started = performance.now();
      await change();
      seconds.push((performance.now() - started) / 1000);
    }
    return { seconds, operations: rounds, bytes: object.length, clientShare: shareSince(usedBefore, began) };
  } finally {
    for (const opened of connections) opened.close();
  }
}

function inParallel<T>(count: number, work: (index: number) => Promise<T>): Promise<T[]> {
  return Promise.all(Array.from({ length: count }, (_, index) => work(index)));
}

async function timed(operations: number, work: () => Promise<unknown>): Promise<LoadResult> {
  const usedBefore = process.cpuUsage();
  const started = performance.now();
  await work();
  const seconds = [(performance.now() - started) / 1000];
  return { seconds, operations, bytes: 0, clientShare: shareSince(usedBefore, started) };
}

function shareSince(before: NodeJS.CpuUsage, started: number): number {
  const { user, system } = process.cpuUsage(before);
  return (user + system) / 1000 / (performance.now() - started);
}
