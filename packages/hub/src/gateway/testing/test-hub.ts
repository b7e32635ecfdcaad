import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { TestContext } from 'node:test';
import {
  type Clock,
  defaultItemTerms,
  type EnrollmentToken,
  type EnrollmentTokenSpec,
  enrollmentTokens,
  type Site,
  sites,
} from '@selvedge/api';
import { createLogger, sha256Digest, systemClock } from '@selvedge/api/node';
import type { Assignment } from '@selvedge/store';
import type { HubOptions } from '../../server/hub-options.ts';
import { type Hub, startHub } from '../../server/start-hub.ts';
import { openHubIdentity } from '../../identity/hub-identity.ts';
import { tokenIssuer } from '../enrollment-token-text.ts';
import { TestAgent } from './test-agent.ts';

/** The machine's clock, moved by an offset; waits are true. */
export class ShiftedClock implements Clock {
  offsetMilliseconds = 0;

  now(): Date {
    return new Date(systemClock.now().getTime() + this.offsetMilliseconds);
  }

  sleep(milliseconds: number, signal?: AbortSignal): Promise<void> {
    return systemClock.sleep(milliseconds, signal);
  }
}

/** A true hub on a port of its own, with what a test of the gateway needs at hand. */
export class TestHub {
  readonly data: string;
  readonly clock = new ShiftedClock();
  readonly #t: TestContext;
  readonly #options: Partial<HubOptions>;
  #hub: Hub | undefined;

  private constructor(t: TestContext, options: Partial<HubOptions>) {
    this.#t = t;
    this.#options = options;
    this.data = mkdtempSync(join(tmpdir(), 'selvedge-hub-'));
  }

  static async start(t: TestContext, options: Partial<HubOptions> = {}): Promise<TestHub> {
    const hub = new TestHub(t, options);
    t.after(async () => {
      await hub.stop();
      rmSync(hub.data, { recursive: true, force: true });
    });
    await hub.start();
    return hub;
  }

  get hub(): Hub {
    if (this.#hub === undefined) throw new Error('the hub is stopped');
    return this.#hub;
  }

  async start(): Promise<void> {
    this.#hub = await startHub({
      data: this.data,
      listen: '127.0.0.1:0',
      logger: createLogger({ level: 'silent' }),
      clock: this.clock,
      ...this.#options,
    });
  }

  async stop(): Promise<void> {
    const hub = this.#hub;
    this.#hub = undefined;
    await hub?.close();
  }

  agent(): TestAgent {
    const agent = new TestAgent(this.hub.url, readFileSync(join(this.data, 'keys', 'ca.crt'), 'utf8'));
    this.#t.after(() => agent.close());
    return agent;
  }

  /** Makes an EnrollmentToken and returns its text. */
  async token(name: string, spec: EnrollmentTokenSpec): Promise<string> {
    const made = await this.hub.client.create<EnrollmentToken>(enrollmentTokens, {
      apiVersion: 'selvedge.dev/v1alpha1',
      kind: 'EnrollmentToken',
      metadata: { name },
      spec,
    });
    return this.tokenText(made);
  }

  async tokenText(token: EnrollmentToken): Promise<string> {
    const identity = await openHubIdentity({
      dataDirectory: this.data,
      clock: this.clock,
      logger: createLogger({ level: 'silent' }),
    });
    const issue = tokenIssuer({ identity, clock: this.clock, hubUrls: () => [this.hub.url] });
    const answer = await issue(token);
    return (answer['status'] as { token: string }).token;
  }

  /** An agent that is enrolled as a new site. */
  async enrolledAgent(site: string): Promise<TestAgent> {
    const agent = this.agent();
    const answer = await agent.enroll(await this.token(`join-${site}`, { siteName: site }));
    if (answer.code !== 200) throw new Error(answer.body.message);
    return agent;
  }

  site(name: string): Promise<Site> {
    return this.hub.client.get<Site>(sites, { name });
  }

  enrollmentToken(name: string): Promise<EnrollmentToken> {
    return this.hub.client.get<EnrollmentToken>(enrollmentTokens, { name });
  }

  /** Wants content at a site, as a rollout would; returns its digest. */
  async assign(site: string, application: string, content: string): Promise<string> {
    const bytes = Buffer.from(content);
    const digest = sha256Digest(bytes);
    await this.hub.fleet.putBlob(digest, bytes);
    const assignment: Assignment = {
      site,
      namespace: 'shop',
      application,
      applicationUid: `uid-${application}`,
      release: `${application}-${digest.slice(7, 17)}`,
      digest,
      deadlineSeconds: 600,
      terms: defaultItemTerms,
      rollout: '',
      wave: '',
    };
    await this.hub.fleet.assign([assignment]);
    return digest;
  }

  async remove(site: string, application: string): Promise<void> {
    await this.hub.fleet.remove([{ site, namespace: 'shop', application, mode: 'Delete' }]);
  }
}

/** Polls until the check holds; the deadline is generous because machines are slow at times. */
export async function eventually<T>(check: () => Promise<T | undefined | false>): Promise<T> {
  const end = performance.now() + 60_000;
  do {
    const found = await check();
    if (found !== undefined && found !== false) return found;
    await systemClock.sleep(50);
  } while (performance.now() < end);
  throw new Error('it did not come true within 60 s');
}
