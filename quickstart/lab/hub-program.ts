import { mkdir, readFile, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { getTool } from '@selvedge/testkit';
import { ChildProgram } from './child-program.ts';
import type { ProcessLedger } from './leftovers.ts';

export interface HubOptions {
  dataDir: string;
  logFile: string;
  port: number;
  /** Default: 127.0.0.1 of this machine. */
  network?: HubNetwork;
  /** How long the hub keeps a poll waiting; short, so that a cut is noticed soon. */
  syncWait?: string;
  /** `node …/selvedge.js`, or a bundle. */
  program: readonly string[];
  logLevel?: string;
  ledger: ProcessLedger;
}

/** A hub that stands elsewhere than its sites: in a network namespace. */
export interface HubNetwork {
  /** As in /run/netns/hub. */
  namespace: string;
  /** Where this process and kubectl reach it. */
  address: string;
  /** Where sites reach it, by site. */
  siteAddresses: Readonly<Record<string, string>>;
}

/** `selvedge hub` as a process, which can be stopped, killed and started again on the same data and port. */
export class HubProgram {
  readonly kubeconfig: string;
  readonly url: string;
  readonly #options: HubOptions;
  #program: ChildProgram | undefined;

  constructor(options: HubOptions) {
    this.#options = options;
    this.kubeconfig = join(
      options.dataDir,
      options.network === undefined ? 'admin.kubeconfig' : 'lab.kubeconfig',
    );
    this.url = `https://${options.network?.address ?? '127.0.0.1'}:${options.port}`;
  }

  get pid(): number | undefined {
    return this.#program?.exit === undefined ? this.#program?.pid : undefined;
  }

  /** Resolves when the hub says that it is ready; returns how long that took, in seconds. */
  async start(): Promise<number> {
    const { dataDir, logFile, port, program, network } = this.#options;
    await mkdir(dataDir, { recursive: true, mode: 0o700 });
    const offset = await stat(logFile).then(
      ({ size }) => size,
      () => 0,
    );
    const started = performance.now();
    this.#program = await ChildProgram.start({
      name: 'hub',
      command: [
        ...(network === undefined ? [] : [getTool('nsenter'), `--net=${network.namespace}`]),
        ...program,
        'hub',
        '--data',
        dataDir,
        '--listen',
        `${network === undefined ? '127.0.0.1' : '0.0.0.0'}:${port}`,
        ...this.#addresses().flatMap((address) => ['--advertise', `https://${address}:${port}`]),
        '--sync-wait',
        this.#options.syncWait ?? '5s',
        '--log-level',
        this.#options.logLevel ?? 'info',
      ],
      logFile,
      ledger: this.#options.ledger,
    });
    await this.#program.ready(
      async () => {
        const log = await readFile(logFile);
        return log.subarray(offset).includes('"hub ready"') ? true : undefined;
      },
      { seconds: 60, what: 'is ready' },
    );
    const seconds = (performance.now() - started) / 1000;
    if (network !== undefined) {
      const original = await readFile(join(dataDir, 'admin.kubeconfig'), 'utf8');
      await writeFile(this.kubeconfig, original.replace(/https:\/\/[^"\s]+/, this.url), {
        mode: 0o600,
      });
    }
    return seconds;
  }

  #addresses(): string[] {
    const { network } = this.#options;
    return network === undefined ? [] : [network.address, ...Object.values(network.siteAddresses)];
  }

  async stop(): Promise<void> {
    await this.#program?.stop();
    this.#program = undefined;
  }

  /** SIGKILL. */
  async crash(): Promise<void> {
    await this.#program?.crash();
    this.#program = undefined;
  }

  lastLines(): Promise<string> {
    return this.#program?.lastLines() ?? Promise.resolve('the hub is not running');
  }
}
