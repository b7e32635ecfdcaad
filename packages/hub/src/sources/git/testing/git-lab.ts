import { mkdirSync, mkdtempSync, readdirSync, readFileSync, readlinkSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, relative } from 'node:path';
import { type GitSource, type KubeObject, type Logger, type ResourceRef, secrets } from '@selvedge/api';
import { systemClock } from '@selvedge/api/node';
import {
  GitRepository,
  type GitHttpServer,
  type GitHttpServerOptions,
  startGitHttpServer,
} from '@selvedge/testkit';
import type { GitRepositories } from '../../git-repositories.ts';
import { SourceHosts } from '../../source-hosts.ts';
import { type GitLimits, openGitRepositories } from '../git-source-repositories.ts';

export interface GitLabOptions extends Omit<GitHttpServerOptions, 'folder'> {
  readonly limits?: Partial<GitLimits>;
  /** As `--source-host`; default: any loopback address. */
  readonly hosts?: readonly string[];
}

/** A folder of repositories, a server for them, and what the hub reads them with. */
export class GitLab {
  readonly folder: string;
  readonly server: GitHttpServer;
  readonly secrets = new Map<string, Record<string, string>>();
  readonly logged: string[] = [];
  readonly #options: GitLabOptions;
  #secretVersion = 1;

  static async start(options: GitLabOptions = {}): Promise<GitLab> {
    const folder = mkdtempSync(join(tmpdir(), 'selvedge-git-test-'));
    const repositories = join(folder, 'served');
    mkdirSync(repositories);
    return new GitLab(folder, await startGitHttpServer({ ...options, folder: repositories }), options);
  }

  private constructor(folder: string, server: GitHttpServer, options: GitLabOptions) {
    this.folder = folder;
    this.server = server;
    this.#options = options;
  }

  repository(name = 'shop.git'): GitRepository {
    return new GitRepository(join(this.folder, 'served', name));
  }

  setSecret(name: string, data: Record<string, string>): void {
    this.#secretVersion += 1;
    this.secrets.set(name, data);
  }

  /** A new hub on the same cache. */
  openHub(limits: Partial<GitLimits> = {}): GitRepositories {
    const { hosts = ['127.0.0.1'] } = this.#options;
    return openGitRepositories({
      cacheDirectory: this.cache,
      client: {
        find: (resource: ResourceRef, { name }: { name: string }) => this.#find(resource.plural, name),
      },
      hosts: new SourceHosts({ hosts, insecureHosts: this.#options.isSecure ? [] : ['127.0.0.1'] }),
      clock: systemClock,
      logger: this.#logger(),
      limits: { ...this.#options.limits, ...limits },
    });
  }

  get cache(): string {
    return join(this.folder, 'cache');
  }

  source(extra: Partial<GitSource> = {}, name = 'shop.git'): GitSource {
    return { url: this.server.url(name), ...extra };
  }

  /** Reads a source into a new folder; its files by path, links as `-> target`. */
  async read(
    hub: GitRepositories,
    source: GitSource,
    { namespace = 'default' }: { namespace?: string } = {},
  ): Promise<{ revision: string; files: Record<string, string> }> {
    const { signal } = new AbortController();
    const { commit, revision } = await hub.findCommit({ source, namespace, signal });
    return { revision, files: await this.checkOut(hub, { source, commit, namespace }) };
  }

  async checkOut(
    hub: GitRepositories,
    { source, commit, namespace = 'default' }: { source: GitSource; commit: string; namespace?: string },
  ): Promise<Record<string, string>> {
    const folder = mkdtempSync(join(this.folder, 'out-'));
    await hub.checkOut({ source, namespace, commit, folder, signal: new AbortController().signal });
    return filesIn(folder);
  }

  async close(): Promise<void> {
    await this.server.close();
    rmSync(this.folder, { recursive: true, force: true });
  }

  async #find<T extends KubeObject>(resource: string, name: string): Promise<T | undefined> {
    const data = resource === secrets.plural ? this.secrets.get(name) : undefined;
    if (data === undefined) return undefined;
    const encoded = Object.entries(data).map(([key, value]) => [key, Buffer.from(value).toString('base64')]);
    const metadata = { name, uid: name, resourceVersion: String(this.#secretVersion) };
    return { apiVersion: 'v1', kind: 'Secret', metadata, data: Object.fromEntries(encoded) } as unknown as T;
  }

  #logger(): Logger {
    const note = (message: string, fields?: object) => {
      this.logged.push(JSON.stringify({ message, ...fields }));
    };
    const logger: Logger = { debug: note, info: note, warn: note, error: note, child: () => logger };
    return logger;
  }
}

export function filesIn(folder: string): Record<string, string> {
  const files: Record<string, string> = {};
  for (const entry of readdirSync(folder, { recursive: true, withFileTypes: true })) {
    const path = join(entry.parentPath, entry.name);
    if (entry.isSymbolicLink()) files[relative(folder, path)] = `-> ${readlinkSync(path)}`;
    else if (entry.isFile()) files[relative(folder, path)] = readFileSync(path, 'utf8');
  }
  return files;
}
