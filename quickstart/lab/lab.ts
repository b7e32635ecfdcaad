import { mkdir, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { createHttpClient, type HttpClient, loadKubeconfig } from '@selvedge/kube';
import { applyYaml } from './apply-yaml.ts';
import { freePort, isPortFree } from '@selvedge/testkit';
import { type HubNetwork, HubProgram } from './hub-program.ts';
import { Kubectl } from './kubectl.ts';
import { LabSite } from './lab-site.ts';
import { ProcessLedger } from './leftovers.ts';
import { buildPageImage } from './page-image.ts';
import { Registry } from './registry.ts';
import { runProgram, tryProgram } from './run-program.ts';

const repositoryRoot = join(import.meta.dirname, '../..');

/** Runs the sources with the Node that runs us. */
export const sourcePrograms = {
  cli: [process.execPath, join(repositoryRoot, 'packages/cli/bin/selvedge.js')],
  agent: [process.execPath, join(repositoryRoot, 'packages/agent/bin/selvedge-agent.js')],
} as const;

/** What `npm run build` made. */
export const bundledPrograms = {
  // As in the first lines of the files.
  cli: ['/usr/bin/env', 'MALLOC_ARENA_MAX=2', process.execPath, join(repositoryRoot, 'dist/selvedge.mjs')],
  agent: [
    '/usr/bin/env',
    'MALLOC_ARENA_MAX=1',
    'MALLOC_TRIM_THRESHOLD_=65536',
    'MALLOC_MMAP_THRESHOLD_=65536',
    process.execPath,
    '--jitless',
    '--optimize-for-size',
    '--max-semi-space-size=1',
    '--v8-pool-size=0',
    join(repositoryRoot, 'dist/selvedge-agent.cjs'),
  ],
} as const;

export interface LabOptions {
  /** Everything is in here; a lab that was closed is opened again. */
  folder: string;
  siteNames: readonly string[];
  /** Sites whose agent goes through an HTTP proxy. */
  proxied?: readonly string[];
  /** Preferred ports of the pages, by site; else any. */
  pagePorts?: Readonly<Record<string, number>>;
  programs?: { cli: readonly string[]; agent: readonly string[] };
  /** The hub stands in a network namespace; sites call it there and not through links. */
  hubNetwork?: HubNetwork;
  syncWait?: string;
  logLevel?: string;
}

/** Ports and addresses that a lab keeps when it is opened again. */
interface Addresses {
  hub: number;
  registry: number;
  /** Second number of 10.x.0.0/16, of which every site gets a /24. */
  podNetwork: number;
  sites: Record<string, { link: number; page: number }>;
}

/** A hub, an image registry and some sites on one machine, all of them real processes and containers. */
export class Lab {
  readonly folder: string;
  readonly registry: Registry;
  readonly hub: HubProgram;
  readonly sites: ReadonlyMap<string, LabSite>;
  readonly pagePorts: Readonly<Record<string, number>>;
  readonly #programs: { cli: readonly string[]; agent: readonly string[] };
  readonly #ledger: ProcessLedger;
  #kubectl: Kubectl | undefined;
  #client: HttpClient | undefined;

  private constructor(
    folder: string,
    programs: { cli: readonly string[]; agent: readonly string[] },
    parts: {
      addresses: Addresses;
      ledger: ProcessLedger;
      registry: Registry;
      hub: HubProgram;
      sites: ReadonlyMap<string, LabSite>;
    },
  ) {
    this.folder = folder;
    this.#programs = programs;
    this.#ledger = parts.ledger;
    this.registry = parts.registry;
    this.hub = parts.hub;
    this.sites = parts.sites;
    this.pagePorts = Object.fromEntries(
      Object.entries(parts.addresses.sites).map(([name, { page }]) => [name, page]),
    );
  }

  /** Prepares folders, links and each site's Podman; starts neither hub nor agents. */
  static async open(options: LabOptions): Promise<Lab> {
    const { folder } = options;
    const programs = options.programs ?? sourcePrograms;
    await mkdir(folder, { recursive: true, mode: 0o700 });
    const ledger = await ProcessLedger.open(join(folder, 'processes'));
    const addresses = await chooseAddresses(options);
    const registry = new Registry(join(folder, 'registry'), addresses.registry, ledger);
    const hub = new HubProgram({
      dataDir: join(folder, 'hub'),
      logFile: join(folder, 'hub.log'),
      port: addresses.hub,
      program: programs.cli,
      ledger,
      ...(options.hubNetwork === undefined ? {} : { network: options.hubNetwork }),
      ...(options.syncWait === undefined ? {} : { syncWait: options.syncWait }),
      ...(options.logLevel === undefined ? {} : { logLevel: options.logLevel }),
    });
    const sites = new Map<string, LabSite>();
    try {
      for (const [index, name] of options.siteNames.entries()) {
        const ports = addresses.sites[name];
        if (ports === undefined)
          throw new Error(`lab.json of ${folder} knows no site ${name}; remove the folder`);
        const site = await LabSite.open({
          name,
          folder: join(folder, 'sites', name),
          hubPort: addresses.hub,
          ...withHubHost(options.hubNetwork?.siteAddresses[name]),
          linkPort: ports.link,
          pagePort: ports.page,
          podCidr: `10.${addresses.podNetwork}.${index}.0/24`,
          registryAddress: registry.address,
          viaProxy: options.proxied?.includes(name) ?? false,
          agentProgram: programs.agent,
          ledger,
          ...(options.logLevel === undefined ? {} : { logLevel: options.logLevel }),
        });
        sites.set(name, site);
      }
    } catch (error) {
      for (const site of sites.values()) await site.close({ keepStorage: true });
      throw error;
    }
    return new Lab(folder, programs, { addresses, ledger, registry, hub, sites });
  }

  get kubectl(): Kubectl {
    this.#kubectl ??= new Kubectl(this.hub.kubeconfig, join(this.folder, 'kubectl-cache'));
    return this.#kubectl;
  }

  /** For waiting and looking; what a person would do goes through kubectl. */
  get client(): HttpClient {
    if (this.#client === undefined) throw new Error('the hub has not been started');
    return this.#client;
  }

  /** Returns how long the hub took until it was ready, in seconds. */
  async startHub(): Promise<number> {
    const seconds = await this.hub.start();
    this.#client ??= createHttpClient({ kubeconfig: await loadKubeconfig(this.hub.kubeconfig) });
    return seconds;
  }

  /** With kubectl; where there is none, with our own client. Returns what was said. */
  async apply(yaml: string): Promise<string> {
    return this.kubectl.path === undefined
      ? await applyYaml(this.client, yaml)
      : await this.kubectl.apply(yaml);
  }

  site(name: string): LabSite {
    const site = this.sites.get(name);
    if (site === undefined)
      throw new Error(`there is no site ${name}; there are ${[...this.sites.keys()].join(', ')}`);
    return site;
  }

  /** `selvedge …` as the fleet's administrator. */
  selvedge(...args: readonly string[]): Promise<string> {
    return runProgram([...this.#programs.cli, ...args], { env: this.#cliEnv() });
  }

  trySelvedge(
    ...args: readonly string[]
  ): Promise<{ code: number | string; stdout: string; stderr: string }> {
    return tryProgram([...this.#programs.cli, ...args], { env: this.#cliEnv() });
  }

  /** Builds the page's image at the first site's Podman, pushes it, and returns its name by digest. */
  async publishPageImage(): Promise<string> {
    const builder = this.sites.values().next().value;
    if (builder === undefined) throw new Error('a lab without sites cannot build images');
    const image = `${this.registry.address}/page:1`;
    await buildPageImage({
      podman: ['podman'],
      env: builder.podman.env,
      buildDir: join(this.folder, 'image-build'),
      image,
    });
    return `${this.registry.address}/page@${await this.registry.digestOf('page', '1')}`;
  }

  /** Starts the agent of a site; the first time with a new token, as the answer says. */
  async startAgent(name: string): Promise<{ withToken: boolean }> {
    const site = this.site(name);
    const enrolledFile = join(this.folder, 'sites', name, 'enrolled');
    const isEnrolled = await readFile(enrolledFile).then(
      () => true,
      () => false,
    );
    if (isEnrolled) {
      await site.startAgent();
      return { withToken: false };
    }
    const token = (await this.selvedge('site', 'token', name, '--hub-url', site.hubUrl)).trim();
    await site.startAgent(token);
    return { withToken: true };
  }

  /** Remembers that the agent needs no token any more. */
  async noteEnrolled(name: string): Promise<void> {
    await writeFile(join(this.folder, 'sites', name, 'enrolled'), '');
  }

  /** Ends all that was started. Without `keepData` the folder goes too. */
  async close(options: { keepData: boolean }): Promise<void> {
    const problems: unknown[] = [];
    const attempt = async (action: () => Promise<unknown>) => {
      try {
        await action();
      } catch (error) {
        problems.push(error);
      }
    };
    await Promise.all(
      [...this.sites.values()].map((site) => attempt(() => site.close({ keepStorage: options.keepData }))),
    );
    await attempt(async () => this.#client?.close());
    await attempt(() => this.hub.stop());
    await attempt(() => this.registry.stop());
    if (problems.length === 0) this.#ledger.remove();
    if (!options.keepData)
      await attempt(() => rm(this.folder, { recursive: true, force: true, maxRetries: 5 }));
    if (problems.length > 0)
      throw new AggregateError(problems, `not everything of ${this.folder} could be ended`);
  }

  #cliEnv(): NodeJS.ProcessEnv {
    return { ...process.env, KUBECONFIG: this.hub.kubeconfig };
  }
}

function withHubHost(hubHost: string | undefined): { hubHost?: string } {
  return hubHost === undefined ? {} : { hubHost };
}

async function chooseAddresses(options: LabOptions): Promise<Addresses> {
  const file = join(options.folder, 'lab.json');
  const saved = await readFile(file, 'utf8').catch(() => undefined);
  if (saved !== undefined) {
    const addresses = JSON.parse(saved) as Addresses;
    await refuseTakenPorts(addresses, options.folder);
    return addresses;
  }
  const addresses: Addresses = {
    hub: await freePort(),
    registry: await freePort(),
    podNetwork: 100 + Math.floor(Math.random() * 100),
    sites: {},
  };
  for (const name of options.siteNames) {
    const wanted = options.pagePorts?.[name];
    const page = wanted !== undefined && (await isPortFree(wanted)) ? wanted : await freePort();
    addresses.sites[name] = { link: await freePort(), page };
  }
  await writeFile(file, `${JSON.stringify(addresses, undefined, 2)}\n`);
  return addresses;
}

async function refuseTakenPorts(addresses: Addresses, folder: string): Promise<void> {
  // A page's port may be held by a container of an earlier lab, which the site's agent adopts.
  const links = Object.values(addresses.sites).map(({ link }) => link);
  const ports = [addresses.hub, addresses.registry, ...links];
  for (const port of ports) {
    if (await isPortFree(port)) continue;
    throw new Error(
      `port ${port}, which ${folder} used before, is taken. Does another quickstart run? Else remove the folder, or give another with --data.`,
    );
  }
}
