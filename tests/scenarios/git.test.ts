import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { createHmac } from 'node:crypto';
import { request } from 'node:https';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { promisify } from 'node:util';
import { type Application, applications, type GitSource, type Secret, secrets } from '@selvedge/api';
import {
  type GitHttpServer,
  GitRepository,
  getTool,
  plainGitEnvironment,
  requireTool,
  startGitHttpServer,
} from '@selvedge/testkit';
import { FleetLab, minutes } from './fleet-lab.ts';

const needsGit = requireTool('git');
const login = { username: 'robot', password: 'a password' };
const token = 'what the forge signs with';
const names = ['shop-0', 'shop-1'];

/** A fleet, a server of git with a repository `shop.git`, and a clone of it in which somebody works. */
class GitScenario implements AsyncDisposable {
  readonly lab: FleetLab;
  readonly #folder: string;
  readonly #server: GitHttpServer;

  static async start(): Promise<GitScenario> {
    const folder = mkdtempSync(join(tmpdir(), 'svg-git-scenario-'));
    new GitRepository(join(folder, 'served', 'shop.git'));
    const server = await startGitHttpServer({ folder: join(folder, 'served'), login });
    const lab = await FleetLab.start({ hub: { insecureSourceHost: [`127.0.0.1:${server.port}`] } });
    await lab.addSites(names);
    for (const [name, stringData] of Object.entries({ login, hook: { token } })) {
      const metadata = { name, namespace: 'shop' };
      await lab.client.create<Secret>(secrets, { apiVersion: 'v1', kind: 'Secret', metadata, stringData });
    }
    const scenario = new GitScenario(lab, folder, server);
    await scenario.#git('init', '--quiet', '--initial-branch=main');
    return scenario;
  }

  private constructor(lab: FleetLab, folder: string, server: GitHttpServer) {
    this.lab = lab;
    this.#folder = folder;
    this.#server = server;
    mkdirSync(this.#clone);
  }

  get #clone(): string {
    return join(this.#folder, 'clone');
  }

  /** Writes files and pushes them, as a person does. Returns the commit. */
  async push(files: Readonly<Record<string, string>>, ...options: readonly string[]): Promise<string> {
    for (const [path, text] of Object.entries(files)) writeFileSync(join(this.#clone, path), text);
    await this.#git('add', '--all');
    await this.#git('commit', '--quiet', '--message=change');
    const url = new URL(this.#server.url('shop.git'));
    Object.assign(url, login);
    await this.#git('push', '--quiet', ...options, url.href, 'main');
    return (await this.#git('rev-parse', 'HEAD')).trim();
  }

  /** Forgets what was committed here: the next push has another history. */
  async forgetHistory(): Promise<void> {
    await this.#git('update-ref', '-d', 'HEAD');
  }

  async apply(source: Partial<GitSource> = {}): Promise<void> {
    const git = {
      url: this.#server.url('shop.git'),
      ref: { branch: 'main' },
      secretRef: { name: 'login' },
      webhook: { secretRef: { name: 'hook' } },
      interval: '30d',
      ...source,
    };
    await this.lab.apply('till', { version: '', spec: { source: { git } } });
  }

  /** What a forge sends after a push; the status of the answer. */
  sendWebhook(): Promise<number> {
    const body = JSON.stringify({ ref: 'refs/heads/main' });
    const signature = createHmac('sha256', token).update(body).digest('hex');
    const headers = { 'x-github-event': 'push', 'x-hub-signature-256': `sha256=${signature}` };
    const url = `${this.lab.hubUrl}/webhooks/v1/shop/till`;
    return new Promise((resolve, reject) => {
      // The certificate is the hub's own; who sends is told by the signature.
      const options = { method: 'POST', headers, rejectUnauthorized: false, agent: false as const };
      const sent = request(url, options, (answer) => {
        answer.resume();
        resolve(answer.statusCode ?? 0);
      });
      sent.on('error', reject);
      sent.end(body);
    });
  }

  getApplication(): Promise<Application> {
    return this.lab.client.get<Application>(applications, { namespace: 'shop', name: 'till' });
  }

  /** Waits for the release of a commit, then until every site runs it. */
  async runs(commit: string, version: string): Promise<void> {
    await this.lab.until(`${commit} is read`, async () => {
      return (await this.getApplication()).status?.source?.revision === `main@sha1:${commit}`;
    });
    await this.lab.untilWithin(minutes(12 * 60), `every shop runs ${version}`, async () =>
      names.every((name) => this.lab.versionAt(name, 'till') === version),
    );
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.lab[Symbol.asyncDispose]();
    await this.#server.close();
    rmSync(this.#folder, { recursive: true, force: true });
  }

  /** Beside this process, which serves what is pushed. */
  async #git(...args: string[]): Promise<string> {
    const options = { cwd: this.#clone, env: plainGitEnvironment() };
    return (await promisify(execFile)(getTool('git'), args, options)).stdout;
  }
}

function manifest(version: string): string {
  return `apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: till\ndata:\n  version: "${version}"\n`;
}

test('what is pushed, by force too, reaches the shops, told by a webhook', needsGit, async () => {
  await using scenario = await GitScenario.start();
  const first = await scenario.push({ 'till.yaml': manifest('1') });
  await scenario.apply();
  await scenario.runs(first, '1');
  const second = await scenario.push({ 'till.yaml': manifest('2') });
  assert.equal(await scenario.sendWebhook(), 202);
  await scenario.runs(second, '2');
  await scenario.forgetHistory();
  const forced = await scenario.push({ 'till.yaml': manifest('3') }, '--force');
  assert.equal(await scenario.sendWebhook(), 202);
  await scenario.runs(forced, '3');
});
