import { mkdtemp, rm } from 'node:fs/promises';
import { request } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as wait } from 'node:timers/promises';
import {
  canonicalJson,
  defaultItemTerms,
  type DeliveryState,
  type KubeObject,
  type Logger,
  type RemovalMode,
  releaseContent,
} from '@selvedge/api';
import { createLogger, sha256Digest, systemClock } from '@selvedge/api/node';
import type { Driver, DriverItem, DriverReport } from '../../driver.ts';
import { type NamedSecrets, TestSecrets } from '../../testing/test-secrets.ts';
import { createPodmanDriver, type PodmanDriverOptions } from '../podman-driver.ts';

/** What the tests need of a Podman; `PodmanTestbed` is one. */
export interface PodmanUnderTest {
  readonly socketPath: string;
  readonly volatileDir: string;
}

export interface ReleaseUnderTest {
  readonly name?: string;
  readonly release: string;
  readonly manifests: readonly object[];
  /** Of the hub. */
  readonly secrets?: NamedSecrets;
  readonly variables?: Readonly<Record<string, string | number | boolean>>;
  readonly deadlineSeconds?: number;
  /** Default: true. */
  readonly mayFetch?: boolean;
  readonly mayActivate?: boolean;
}

/** Enough to open the same site in another process. */
export interface TestSiteDescription {
  readonly podman: PodmanUnderTest;
  readonly stateDir: string;
  readonly run: number;
  readonly releases: readonly (ReleaseUnderTest & { readonly epoch: number })[];
}

/** A driver with its state, driven as the agent drives it; for tests. */
export class TestSite {
  readonly stateDir: string;
  readonly reports: DriverReport[] = [];
  readonly #podman: PodmanUnderTest;
  #options: Partial<PodmanDriverOptions>;
  readonly #secrets = new TestSecrets();
  readonly #contents = new Map<string, readonly KubeObject[]>();
  readonly #items = new Map<string, DriverItem>();
  #driver: Driver | undefined;
  #abort = new AbortController();
  #epoch = 0;
  #run: number = process.pid;
  readonly #history: (ReleaseUnderTest & { readonly epoch: number })[] = [];

  constructor(podman: PodmanUnderTest, stateDir: string, options: Partial<PodmanDriverOptions>) {
    this.#podman = podman;
    this.stateDir = stateDir;
    this.#options = options;
  }

  static async open(podman: PodmanUnderTest, options: Partial<PodmanDriverOptions> = {}): Promise<TestSite> {
    return new TestSite(podman, await mkdtemp(join(tmpdir(), 'svg-site-')), options);
  }

  static reopen({ podman, stateDir, run, releases }: TestSiteDescription): TestSite {
    const site = new TestSite(podman, stateDir, {});
    site.#run = run;
    for (const release of releases) {
      site.#epoch = release.epoch - 1;
      site.assign(release);
    }
    return site;
  }

  describeForChild(): TestSiteDescription {
    const { socketPath, volatileDir } = this.#podman;
    return {
      podman: { socketPath, volatileDir },
      stateDir: this.stateDir,
      run: this.#run,
      releases: this.#history,
    };
  }

  /** A new driver on the same state, as after a start of the agent. */
  async start(): Promise<Driver> {
    this.#abort = new AbortController();
    const driver = createPodmanDriver({
      socketPath: this.#podman.socketPath,
      volatileDir: this.#podman.volatileDir,
      stateDir: this.stateDir,
      // Test runs beside each other on one machine must not share a bridge or a range.
      site: { name: 'shop', uid: `uid-of-shop-${this.#run}` },
      podCidr: `10.213.${this.#run % 250}.0/24`,
      hostIp: '127.0.0.1',
      insecureRegistries: [],
      clock: systemClock,
      logger: quietLogger,
      findManifests: async (digest) => this.#contents.get(digest),
      findSecrets: (_item, versions) => this.#secrets.find(versions),
      ...this.#options,
    });
    driver.onReport((report) => this.reports.push(report));
    driver.setDesired([...this.#items.values()]);
    await driver.start(this.#abort.signal);
    this.#driver = driver;
    return driver;
  }

  /** Other options from the next start on. */
  use(change: Partial<PodmanDriverOptions>): void {
    this.#options = { ...this.#options, ...change };
  }

  /** Assigns a release, as a sync does. @returns the epoch of the assignment. */
  assign(assignment: ReleaseUnderTest): number {
    const { name = 'web', release, manifests, variables = {}, deadlineSeconds = 600 } = assignment;
    const { secrets = {} } = assignment;
    const named = Object.keys(secrets).map((secret) => ({ name: secret }));
    const rules = named.length === 0 ? {} : { secrets: named };
    const content = releaseContent(structuredClone(manifests) as unknown as KubeObject[], rules, name);
    const secretVersions = this.#secrets.keep(secrets);
    const digest = sha256Digest(canonicalJson(content));
    this.#contents.set(digest, content);
    this.#epoch += 1;
    this.#history.push({ ...assignment, epoch: this.#epoch });
    const item = {
      id: `Application/shop/${name}`,
      uid: `uid-of-${name}`,
      epoch: this.#epoch,
      release,
      digest,
      deadlineSeconds,
      terms: defaultItemTerms,
    };
    const { mayFetch = true, mayActivate = true } = assignment;
    const manifestsOf = async () => content;
    this.#items.set(name, {
      item,
      mayFetch,
      mayActivate,
      siteName: 'shop',
      variables,
      labels: {},
      nodeGroups: [],
      secrets: this.#secrets.find(secretVersions) ?? new Map(),
      secretVersions,
      logins: [],
      manifests: manifestsOf,
    });
    this.#driver?.setDesired([...this.#items.values()]);
    return this.#epoch;
  }

  /** Changes what may be done for the release that is assigned. */
  permit(change: Partial<Pick<DriverItem, 'mayFetch' | 'mayActivate'>>, name = 'web'): void {
    const item = this.#items.get(name);
    if (item) this.#items.set(name, { ...item, ...change });
    this.#driver?.setDesired([...this.#items.values()]);
  }

  remove(name = 'web', mode: RemovalMode = 'Delete'): void {
    this.#items.delete(name);
    this.#epoch += 1;
    this.#driver?.setDesired([...this.#items.values()]);
    this.#driver?.remove({
      id: `Application/shop/${name}`,
      uid: `uid-of-${name}`,
      epoch: this.#epoch,
      mode,
    });
  }

  /** Whether Podman can limit memory here: rootless it cannot on a machine with cgroup v1. */
  get canLimit(): boolean {
    return process.getuid?.() === 0;
  }

  lastReport(name = 'web'): DriverReport | undefined {
    return this.reports.findLast((report) => report.uid === `uid-of-${name}`);
  }

  /** Waits until the newest report has the state (and speaks of the release). */
  async until(
    state: DeliveryState,
    expected: { name?: string; release?: string; reason?: string; seconds?: number } = {},
  ): Promise<DriverReport> {
    const { name = 'web', release, reason, seconds = 60 } = expected;
    for (let attempt = 0; attempt < seconds * 10; attempt++) {
      const report = this.lastReport(name);
      const isRight =
        report?.state === state &&
        (release === undefined || report.release === release) &&
        (reason === undefined || report.reason === reason);
      if (isRight) return report;
      await wait(100);
    }
    throw new Error(
      `${state} was not reported within ${seconds} s; last: ${JSON.stringify(this.lastReport(name))}`,
    );
  }

  /** Ends the driver; what it is doing is cut off as far as a process can do that to itself. */
  async stop(): Promise<void> {
    this.#abort.abort();
    await this.#driver?.stop();
    this.#driver = undefined;
  }

  async close(): Promise<void> {
    await this.stop();
    await rm(this.stateDir, { recursive: true, force: true });
  }
}

const quietLogger: Logger = createLogger({ level: 'silent' });

/** Body of the page; rejects when it does not come. */
export function fetchPage(port: number, path = '/'): Promise<string> {
  return new Promise((resolve, reject) => {
    const req = request({ host: '127.0.0.1', port, path, agent: false, timeout: 5000 }, (res) => {
      res.setEncoding('utf8');
      let body = '';
      res.on('data', (chunk: string) => {
        body += chunk;
      });
      res.on('error', reject);
      res.on('end', () =>
        res.statusCode === 200 ? resolve(body) : reject(new Error(`HTTP ${res.statusCode}`)),
      );
    });
    req.on('timeout', () => req.destroy(new Error('no answer in time')));
    req.on('error', reject);
    req.end();
  });
}

/** Asks ten times a second until it is ended. */
export function hammer(port: number): { end(): Promise<{ failures: string[]; answers: string[] }> } {
  const failures: string[] = [];
  const answers: string[] = [];
  let isGoing = true;
  const work = async () => {
    while (isGoing) {
      try {
        answers.push((await fetchPage(port)).trim());
      } catch (error) {
        failures.push(`${new Date().toISOString()} ${String(error)}`);
      }
      await wait(100);
    }
  };
  const done = work();
  return {
    end: async () => {
      isGoing = false;
      await done;
      return { failures, answers };
    },
  };
}

/** Polls until the answer is as wanted. */
export async function eventually<T>(
  ask: () => Promise<T>,
  isRight: (value: T) => boolean,
  seconds = 30,
): Promise<T> {
  let last: unknown;
  for (let attempt = 0; attempt < seconds * 5; attempt++) {
    try {
      const value = await ask();
      if (isRight(value)) return value;
      last = value;
    } catch (error) {
      last = error;
    }
    await wait(200);
  }
  throw new Error(`did not become true within ${seconds} s`, { cause: last });
}

export interface WebOptions {
  readonly text: string;
  readonly replicas?: number;
  readonly port: number;
  readonly container?: Readonly<Record<string, unknown>>;
  readonly pod?: Readonly<Record<string, unknown>>;
  readonly strategy?: Readonly<Record<string, unknown>>;
}

/** A page served by busybox, behind a Service that is published on `port`. */
export function webManifests({ text, replicas = 1, port, container, pod, strategy }: WebOptions): object[] {
  const page = `echo '${text}' > /www/index.html; exec httpd -f -p 8080 -h /www`;
  return [
    {
      apiVersion: 'apps/v1',
      kind: 'Deployment',
      metadata: { name: 'web' },
      spec: {
        replicas,
        selector: { matchLabels: { app: 'web' } },
        ...(strategy ? { strategy } : {}),
        template: {
          metadata: { labels: { app: 'web' } },
          spec: {
            terminationGracePeriodSeconds: 1,
            containers: [
              {
                name: 'httpd',
                image: 'localhost/busybox:1',
                command: ['sh', '-c', page],
                ports: [{ name: 'http', containerPort: 8080 }],
                readinessProbe: { httpGet: { path: '/', port: 'http' }, periodSeconds: 1 },
                ...container,
              },
            ],
            ...pod,
          },
        },
      },
    },
    {
      apiVersion: 'v1',
      kind: 'Service',
      metadata: { name: 'web' },
      spec: { type: 'LoadBalancer', selector: { app: 'web' }, ports: [{ port, targetPort: 'http' }] },
    },
  ];
}
