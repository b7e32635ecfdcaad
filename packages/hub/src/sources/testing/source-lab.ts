import assert from 'node:assert/strict';
import { join } from 'node:path';
import type { Application, Condition, Release } from '@selvedge/api';
import { createLogger } from '@selvedge/api/node';
import { TestHub } from '../../controllers/testing/test-hub.ts';
import { openGitRepositories } from '../git/git-source-repositories.ts';
import { GitLab } from '../git/testing/git-lab.ts';
import { SourceHosts } from '../source-hosts.ts';

const helmProgram = join(import.meta.dirname, 'recorded-helm.sh');

/** A hub whose applications come from a git server on loopback. */
export class SourceLab implements AsyncDisposable {
  readonly hub: TestHub;
  readonly git: GitLab;

  private constructor(hub: TestHub, git: GitLab) {
    this.hub = hub;
    this.git = git;
  }

  static async start(): Promise<SourceLab> {
    const lab = new SourceLab(await TestHub.start(), await GitLab.start());
    await lab.hub.stopControllers();
    lab.openSources();
    lab.hub.startControllers();
    await lab.hub.addSites('s1');
    return lab;
  }

  openSources(): void {
    const { git } = this;
    const hosts = new SourceHosts({ hosts: [], insecureHosts: ['127.0.0.1'] });
    const { client, clock } = this.hub;
    const cacheDirectory = join(git.folder, 'cache');
    const repositories = openGitRepositories({
      cacheDirectory,
      client,
      hosts,
      clock,
      logger: createLogger({ level: 'silent' }),
    });
    this.hub.sources = { cacheDirectory, hosts, git: repositories, helmProgram };
  }

  apply(spec: Partial<Application['spec']> = {}): Promise<Application> {
    return this.hub.apply({
      source: { git: { ...this.git.source(), path: 'app', interval: '10s' } },
      ...spec,
    });
  }

  async condition(type = 'SourceReady'): Promise<Condition | undefined> {
    const { status } = await this.hub.application();
    return status?.conditions?.find((condition) => condition.type === type);
  }

  /** Until the source is as it is expected to be. */
  async until(reason: string): Promise<Application> {
    return this.eventually(async () => {
      const condition = await this.condition();
      assert.equal(condition?.reason, reason, condition?.message);
      return this.hub.application();
    });
  }

  async untilRevision(commit: string): Promise<Application> {
    return this.eventually(async () => {
      const application = await this.hub.application();
      assert.match(application.status?.source?.revision ?? '', new RegExp(commit));
      return application;
    });
  }

  /** The text that the newest release brings. */
  async untilReleased(text: string): Promise<Release> {
    return this.eventually(async () => {
      const { status } = await this.hub.application();
      const release = await this.hub.release(status?.release ?? '');
      const bytes = await this.hub.fleet.findBlob(release.spec.digest);
      assert.match(new TextDecoder().decode(bytes), new RegExp(`"text":"${text}"`));
      return release;
    });
  }

  // The clock of the test runs faster than git: not too much.
  eventually<T>(check: () => Promise<T>): Promise<T> {
    return this.hub.eventually(check, { step: 150 });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.hub[Symbol.asyncDispose]();
    await this.git.close();
  }
}
