import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { type PodmanTestbed, startPodmanTestbed, startTcpLink, type TcpLink } from '@selvedge/testkit';
import { ChildProgram } from './child-program.ts';
import type { ProcessLedger } from './leftovers.ts';
import { type HttpProxy, startHttpProxy } from './http-proxy.ts';

export interface LabSiteOptions {
  name: string;
  /** Everything of the site; made when it is not there. */
  folder: string;
  hubPort: number;
  /** The agent calls the hub at this host, not through the link. */
  hubHost?: string;
  /** Port of 127.0.0.1 that the site's agent calls the hub at; a link that can be cut passes it on. */
  linkPort: number;
  /** Port of 127.0.0.1 that the application's Service is published at. */
  pagePort: number;
  podCidr: string;
  registryAddress: string;
  /** The agent's way out is an HTTP proxy, as in many shops. */
  viaProxy: boolean;
  /** `node …/selvedge-agent.js`, or a bundle. */
  agentProgram: readonly string[];
  logLevel?: string;
  ledger: ProcessLedger;
}

/** What the page of a site says. */
export interface PageContent {
  site: string;
  release: string;
  edition: string;
  greeting: string;
}

/** A place that runs things: a Podman of its own, an agent, and a link to the hub that can be cut. */
export class LabSite {
  readonly name: string;
  readonly pageUrl: string;
  readonly podman: PodmanTestbed;
  readonly link: TcpLink;
  readonly proxy: HttpProxy | undefined;
  readonly #options: LabSiteOptions;
  #agent: ChildProgram | undefined;

  private constructor(
    options: LabSiteOptions,
    parts: { podman: PodmanTestbed; link: TcpLink; proxy: HttpProxy | undefined },
  ) {
    this.name = options.name;
    this.pageUrl = `http://127.0.0.1:${options.pagePort}`;
    this.podman = parts.podman;
    this.link = parts.link;
    this.proxy = parts.proxy;
    this.#options = options;
  }

  static async open(options: LabSiteOptions): Promise<LabSite> {
    const podmanDir = join(options.folder, 'podman');
    await mkdir(podmanDir, { recursive: true, mode: 0o700 });
    const link = await startTcpLink({ target: { port: options.hubPort }, port: options.linkPort });
    const proxy = options.viaProxy ? await startHttpProxy() : undefined;
    try {
      const podman = await startPodmanTestbed({ directory: podmanDir });
      return new LabSite(options, { podman, link, proxy });
    } catch (error) {
      await link.close();
      await proxy?.close();
      throw error;
    }
  }

  /** Where the site's agent finds the hub. */
  get hubUrl(): string {
    const { hubHost, hubPort, linkPort } = this.#options;
    return hubHost === undefined ? `https://127.0.0.1:${linkPort}` : `https://${hubHost}:${hubPort}`;
  }

  get stateDir(): string {
    return join(this.#options.folder, 'agent');
  }

  get agentPid(): number | undefined {
    return this.#agent?.exit === undefined ? this.#agent?.pid : undefined;
  }

  /** Throws when the agent has ended by itself. */
  assertAgentRuns(): void {
    const exit = this.#agent?.exit;
    if (exit !== undefined) throw new Error(`the agent of ${this.name} ${exit}`);
  }

  /** `token` is needed the first time only. */
  async startAgent(token?: string): Promise<void> {
    await mkdir(this.stateDir, { recursive: true, mode: 0o700 });
    const tokenFile = join(this.#options.folder, 'token');
    if (token !== undefined) await writeFile(tokenFile, token, { mode: 0o600 });
    const proxy =
      this.proxy === undefined
        ? {}
        : { HTTPS_PROXY: this.proxy.url, NO_PROXY: this.#options.registryAddress };
    const flags = {
      '--state': this.stateDir,
      '--podman-socket': this.podman.socketPath,
      '--pod-cidr': this.#options.podCidr,
      '--host-ip': '127.0.0.1',
      '--insecure-registry': this.#options.registryAddress,
      '--log-level': this.#options.logLevel ?? 'info',
      ...(token === undefined ? {} : { '--token-file': tokenFile }),
    };
    this.#agent = await ChildProgram.start({
      name: `agent of ${this.name}`,
      command: [...this.#options.agentProgram, 'run', ...Object.entries(flags).flat()],
      env: { ...this.podman.env, ...proxy },
      logFile: join(this.#options.folder, 'agent.log'),
      ledger: this.#options.ledger,
    });
  }

  async stopAgent(): Promise<void> {
    await this.#agent?.stop();
    this.#agent = undefined;
  }

  /** SIGKILL. */
  async crashAgent(): Promise<void> {
    await this.#agent?.crash();
    this.#agent = undefined;
  }

  /** The machine loses power and starts again: agent and containers are gone, the disk is what it was. */
  async reboot(): Promise<void> {
    await this.#agent?.powerOff();
    this.#agent = undefined;
    await this.podman.reboot();
  }

  cut(): void {
    this.link.cut();
  }

  join(): void {
    this.link.restore();
  }

  /** What the page says now; undefined when it does not answer. */
  async findPage(timeoutMilliseconds = 3000): Promise<PageContent | undefined> {
    try {
      const answer = await fetch(`${this.pageUrl}/site.json`, {
        signal: AbortSignal.timeout(timeoutMilliseconds),
        headers: { connection: 'close' },
      });
      return answer.ok ? ((await answer.json()) as PageContent) : undefined;
    } catch {
      return undefined;
    }
  }

  /** Ids of the containers that run, with when they started. */
  async runningContainers(): Promise<string[]> {
    const list = JSON.parse(await this.podman.podman('ps', '--format', 'json')) as {
      Id: string;
      StartedAt: number;
    }[];
    return list.map(({ Id, StartedAt }) => `${Id.slice(0, 12)} ${StartedAt}`).sort();
  }

  async agentLog(lines = 15): Promise<string> {
    const text = await readFile(join(this.#options.folder, 'agent.log'), 'utf8').catch(() => '');
    return text.trimEnd().split('\n').slice(-lines).join('\n');
  }

  /** Ends everything of the site; with `keepStorage` images and definitions stay for the next time. */
  async close(options: { keepStorage: boolean }): Promise<void> {
    await this.stopAgent();
    await this.podman.close(options);
    await this.proxy?.close();
    await this.link.close();
  }
}
