import { setTimeout as sleep } from 'node:timers/promises';
import { randomBytes } from 'node:crypto';
import { median } from '../figure.ts';
import { residentMebibytes } from '../resident-memory.ts';
import { Connection } from './connection.ts';
import type { WriteVerb } from './load-jobs.ts';
import { LoadProcess } from './load-process.ts';
import type { Target } from './target.ts';

/** What is held against another server's value for the same. */
export interface Measurement {
  readonly name: string;
  readonly value: number;
  readonly unit: 's' | 'ms' | 'MiB' | '/s';
  /** In which direction is better. */
  readonly better: 'more' | 'less';
  /** CPU time of the load program, as a share of one core. */
  readonly clientShare?: number;
}

export interface MeasureOptions {
  readonly objects: number;
  readonly startObjects: number;
  readonly watchers: number;
  readonly tell: (line: string) => void;
}

const writes: readonly { clients: number; operations: number }[] = [
  { clients: 1, operations: 2000 },
  { clients: 16, operations: 6000 },
  { clients: 64, operations: 8000 },
];
const verbs: readonly WriteVerb[] = ['create', 'update', 'patch status'];
const listRounds = 7;
const watchRounds = 20;
const settleSeconds = 5;

/** Measures one server; everything it makes is in namespaces of its own. */
export async function measure(target: Target, options: MeasureOptions): Promise<Measurement[]> {
  const load = new LoadProcess();
  try {
    return await new Measuring(target, load, options).all();
  } finally {
    load.close();
  }
}

class Measuring {
  readonly #target: Target;
  readonly #load: LoadProcess;
  readonly #options: MeasureOptions;
  readonly #namespace = `bench-${randomBytes(4).toString('hex')}`;
  readonly #measured: Measurement[] = [];

  constructor(target: Target, load: LoadProcess, options: MeasureOptions) {
    this.#target = target;
    this.#load = load;
    this.#options = options;
  }

  async all(): Promise<Measurement[]> {
    await this.#lists();
    await this.#watchers();
    await this.#memory();
    await this.#writes();
    await this.#start();
    return this.#measured;
  }

  async #lists(): Promise<void> {
    const { objects } = this.#options;
    const namespace = await this.#makeNamespace('list');
    this.#tell(`making ${objects} objects, then ${listRounds} lists`);
    await this.#run({ kind: 'fill', namespace, prefix: 'listed', count: objects });
    const rounds = { kind: 'list', namespace, rounds: listRounds } as const;
    const drained = await this.#run({ ...rounds, parse: false });
    const size = `${(drained.bytes / 1e6).toFixed(1)} MB`;
    this.#note(`list of ${objects} objects (${size}), drained`, median(drained.seconds), 's', drained);
    const parsed = await this.#run({ ...rounds, parse: true });
    this.#note(`the same, with the client's JSON parse`, median(parsed.seconds), 's', parsed);
  }

  async #watchers(): Promise<void> {
    const { watchers } = this.#options;
    const namespace = await this.#makeNamespace('watch');
    this.#tell(`${watchRounds} changes to ${watchers} watchers`);
    const result = await this.#run({ kind: 'watch', namespace, watchers, rounds: watchRounds });
    const milliseconds = result.seconds.map((seconds) => seconds * 1000);
    this.#note(`change until the last of ${watchers} watchers is told`, median(milliseconds), 'ms', result);
  }

  async #memory(): Promise<void> {
    await sleep(settleSeconds * 1000);
    const pids = await this.#target.pids();
    if (pids.length === 0) return;
    const sizes = await Promise.all(pids.map(residentMebibytes));
    const total = sizes.reduce((sum, size) => sum + size, 0);
    this.#note(`memory (RSS) with those objects`, total, 'MiB');
  }

  async #writes(): Promise<void> {
    const namespace = await this.#makeNamespace('write');
    for (const verb of verbs) {
      for (const { clients, operations } of writes) {
        this.#tell(`${verb}, ${clients} at once`);
        const result = await this.#run({ kind: 'write', verb, namespace, clients, operations });
        const rate = operations / (result.seconds[0] ?? Number.NaN);
        this.#note(`${verb}, 2 KB object, ${clients} at once`, rate, '/s', result);
      }
    }
  }

  async #start(): Promise<void> {
    const { startObjects } = this.#options;
    if (this.#target.restart === undefined || startObjects === 0) return;
    const namespace = await this.#makeNamespace('start');
    this.#tell(`making ${startObjects} objects, then a start`);
    await this.#run({ kind: 'fill', namespace, prefix: 'kept', count: startObjects });
    const started = await this.#target.restart();
    const readySeconds = await this.#untilAnswered('/readyz', started);
    this.#note(`start with ${startObjects} objects until /readyz`, readySeconds, 's');
    const one = `/api/v1/namespaces/${namespace}/configmaps/kept-${startObjects - 1}`;
    this.#note('start until one of them is read', await this.#untilAnswered(one, started), 's');
    const page = `/api/v1/namespaces/${namespace}/configmaps?limit=500`;
    this.#note('start until the first 500 are listed', await this.#untilAnswered(page, started), 's');
  }

  async #untilAnswered(path: string, started: number): Promise<number> {
    for (;;) {
      try {
        const connection = await Connection.open(await this.#target.address());
        try {
          await connection.request({ method: 'GET', path });
          return (performance.now() - started) / 1000;
        } finally {
          connection.close();
        }
      } catch (error) {
        if (performance.now() - started > 300_000) throw error;
        await sleep(10);
      }
    }
  }

  async #makeNamespace(suffix: string): Promise<string> {
    const name = `${this.#namespace}-${suffix}`;
    await this.#run({ kind: 'namespace', name });
    return name;
  }

  async #run(job: Parameters<LoadProcess['run']>[1]) {
    return this.#load.run(await this.#target.address(), job);
  }

  #note(
    name: string,
    value: number,
    ...[unit, result]: [Measurement['unit'], { clientShare: number }?]
  ): void {
    const better = unit === '/s' ? 'more' : 'less';
    const clientShare = result === undefined ? {} : { clientShare: result.clientShare };
    this.#measured.push({ name, value, unit, better, ...clientShare });
    const share = result === undefined ? '' : `, client ${Math.round(result.clientShare * 100)} % of a core`;
    this.#tell(`  ${name}: ${value.toPrecision(4)} ${unit}${share}`);
  }

  #tell(line: string): void {
    this.#options.tell(`${this.#target.name}: ${line}`);
  }
}
