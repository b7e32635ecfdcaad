import assert from 'node:assert/strict';
import { cpSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { TestContext } from 'node:test';
import { type EnrollmentToken, enrollmentTokens } from '@selvedge/api';
import { createLogger, systemClock } from '@selvedge/api/node';
import type { TestPostgres } from '@selvedge/testkit';
import { openHubIdentity } from '../../identity/hub-identity.ts';
import { type Hub, startHub } from '../../server/start-hub.ts';
import { tokenIssuer } from '../enrollment-token-text.ts';
import { TestAgent } from './test-agent.ts';

const logger = createLogger({ level: 'silent' });

/** Two hubs on one database of its own, with the same keys. `data`: folder of the first. */
export async function startTwoHubs(
  t: TestContext,
  postgres: TestPostgres,
): Promise<{ hubs: [Hub, Hub]; data: string }> {
  const { url: store } = await postgres.createDatabase();
  const [a, b] = [0, 1].map(() => mkdtempSync(join(tmpdir(), 'selvedge-two-hubs-'))) as [string, string];
  t.after(() => {
    for (const folder of [a, b]) rmSync(folder, { recursive: true, force: true });
  });
  const start = async (data: string) => {
    const hub = await startHub({ data, listen: '127.0.0.1:0', store, logger });
    t.after(() => hub.close());
    return hub;
  };
  const first = await start(a);
  cpSync(join(a, 'keys'), join(b, 'keys'), { recursive: true });
  return { hubs: [first, await start(b)], data: a };
}

/** An agent that is enrolled as a new site at this hub. */
export async function enrolAgent(
  t: TestContext,
  { hub, data, site }: { readonly hub: Hub; readonly data: string; readonly site: string },
): Promise<TestAgent> {
  const identity = await openHubIdentity({ dataDirectory: data, clock: systemClock, logger });
  const issue = tokenIssuer({ identity, clock: systemClock, hubUrls: () => [hub.url] });
  const token = await hub.client.create<EnrollmentToken>(enrollmentTokens, {
    apiVersion: 'selvedge.dev/v1alpha1',
    kind: 'EnrollmentToken',
    metadata: { name: site },
    spec: { siteName: site },
  });
  const { token: text } = (await issue(token))['status'] as { token: string };
  const agent = new TestAgent(hub.url, readFileSync(join(data, 'keys', 'ca.crt'), 'utf8'));
  t.after(() => agent.close());
  assert.equal((await agent.enroll(text)).code, 200);
  return agent;
}
