import assert from 'node:assert/strict';
import { createHmac } from 'node:crypto';
import { mkdtempSync, rmSync } from 'node:fs';
import type { IncomingHttpHeaders } from 'node:http';
import { request } from 'node:https';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { type Application, applications, type GitSource, type Secret, secrets } from '@selvedge/api';
import { createLogger } from '@selvedge/api/node';
import { createHttpClient, loadKubeconfig } from '@selvedge/kube';
import { type Hub, startHub } from '../../server/start-hub.ts';
import { refreshAnnotation } from '../source-spec.ts';

const token = 'a token of the forge';
const url = 'https://git.invalid/shop/till.git';

let hub: Hub;
let data: string;
before(async () => {
  data = mkdtempSync(join(tmpdir(), 'selvedge-webhook-test-'));
  const logger = createLogger({ level: 'silent' });
  // No source is ever read: this hub may speak to no host.
  hub = await startHub({
    data,
    listen: '127.0.0.1:0',
    logger,
    registryLookup: false,
    sourceHost: ['nowhere.invalid'],
  });
  const secret = {
    apiVersion: 'v1',
    kind: 'Secret',
    metadata: { name: 'hook', namespace: 'default' },
  } as const;
  await hub.client.create<Secret>(secrets, { ...secret, stringData: { token: `${token}\n` } });
  const webhook = { secretRef: { name: 'hook' } };
  await createApplication('till', { url, ref: { branch: 'main' }, webhook });
  await createApplication('beside', { url: `${url.slice(0, -4)}/`, ref: { branch: 'main' } });
  await createApplication('release', { url, ref: { branch: 'release' } });
  await createApplication('other', { url: 'https://git.invalid/shop/other.git' });
  await createApplication('lost', {
    url,
    ref: { branch: 'lost' },
    webhook: { secretRef: { name: 'no-such' } },
  });
});
after(async () => {
  await hub?.close();
  rmSync(data, { recursive: true, force: true });
});

async function createApplication(name: string, git: GitSource): Promise<void> {
  const spec = { source: { git }, placement: { siteSelector: { matchLabels: { none: 'such' } } } };
  await hub.client.create<Application>(applications, {
    apiVersion:
      applications.group === '' ? applications.version : `${applications.group}/${applications.version}`,
    kind: 'Application',
    metadata: { name, namespace: 'default' },
    spec,
  } as Application);
}

interface Sent {
  readonly code: number;
  readonly headers: IncomingHttpHeaders;
  readonly body: Record<string, unknown>;
}

function send(
  path: string,
  {
    body = '{"ref":"refs/heads/main"}',
    method = 'POST',
    headers = {},
  }: { body?: string; method?: string; headers?: Record<string, string> } = {},
): Promise<Sent> {
  return new Promise((resolve, reject) => {
    const req = request(
      `${hub.url}${path}`,
      { method, headers, rejectUnauthorized: false, agent: false },
      (res) => {
        let text = '';
        res.on('data', (chunk: Buffer) => {
          text += chunk.toString();
        });
        res.on('end', () =>
          resolve({
            code: res.statusCode ?? 0,
            headers: res.headers,
            body: JSON.parse(text) as Sent['body'],
          }),
        );
      },
    );
    req.on('error', reject);
    req.end(body);
  });
}

function signed(body: string, key = token): Record<string, string> {
  return {
    'x-github-event': 'push',
    'x-hub-signature-256': `sha256=${createHmac('sha256', key).update(body).digest('hex')}`,
  };
}

async function wakeOf(name: string): Promise<string | undefined> {
  const application = await hub.client.get<Application>(applications, { namespace: 'default', name });
  return application.metadata.annotations?.[refreshAnnotation];
}

async function until(isDone: () => Promise<boolean>): Promise<void> {
  const end = Date.now() + 60_000;
  while (!(await isDone())) {
    assert.ok(Date.now() < end, 'nothing came of it');
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

test('a push wakes the application and those beside it that read the same branch', async () => {
  const body = '{"ref":"refs/heads/main"}';
  const sent = await send('/webhooks/v1/default/till', { body, headers: signed(body) });
  assert.equal(sent.code, 202);
  assert.deepEqual(sent.body, { event: 'push', woken: 2 });
  await until(async () => (await wakeOf('till')) !== undefined && (await wakeOf('beside')) !== undefined);
  assert.equal(await wakeOf('till'), await wakeOf('beside'));
  assert.deepEqual([await wakeOf('release'), await wakeOf('other')], [undefined, undefined]);
});

test('many pushes are few writes, and the last is not lost', async () => {
  const body = '{"ref":"refs/heads/release"}';
  const versions = new Set<string>();
  const version = async () => {
    const { metadata } = await hub.client.get<Application>(applications, {
      namespace: 'default',
      name: 'release',
    });
    return `${metadata.resourceVersion} ${metadata.annotations?.[refreshAnnotation]}`;
  };
  const before = await version();
  for (let count = 0; count < 20; count += 1) {
    assert.equal((await send('/webhooks/v1/default/till', { body, headers: signed(body) })).code, 202);
    versions.add(await version());
  }
  const last = new Date(Date.parse((await wakeOf('release')) ?? ''));
  await until(async () => new Date(Date.parse((await wakeOf('release')) ?? '')) > last);
  versions.delete(before);
  assert.ok(versions.size <= 3, `${versions.size} writes`);
});

test('a ping and events of no interest are answered and wake nobody', async () => {
  for (const [event, kind] of [
    ['ping', 'ping'],
    ['issues', 'other'],
  ] as const) {
    const sent = await send('/webhooks/v1/default/till', {
      body: '{}',
      headers: { ...signed('{}'), 'x-github-event': event },
    });
    assert.deepEqual([sent.code, sent.body], [200, { event: kind, woken: 0 }]);
  }
});

test('who does not know the token learns nothing: all refusals are one', async () => {
  const body = '{"ref":"refs/heads/main"}';
  const refusals = await Promise.all([
    send('/webhooks/v1/default/till', { body, headers: signed(body, 'wrong') }),
    send('/webhooks/v1/default/till', { body: `${body} `, headers: signed(body) }),
    send('/webhooks/v1/default/till', { body }),
    send('/webhooks/v1/default/no-such', { body, headers: signed(body) }),
    send('/webhooks/v1/no-such/till', { body, headers: signed(body) }),
    send('/webhooks/v1/default/other', { body, headers: signed(body, 'missing') }),
    send('/webhooks/v1/default/lost', { body, headers: signed(body, 'missing') }),
    send('/webhooks/v1/default/lost', { body, headers: signed(body, '') }),
    send('/webhooks/v1/default', { body, headers: signed(body) }),
    send('/webhooks/v1/default/till/x', { body, headers: signed(body) }),
    send('/webhooks/v1/..%2f/till', { body, headers: signed(body) }),
  ]);
  const [first] = refusals;
  assert.equal(first?.code, 403);
  assert.match(String(first?.body['message']), /compare the secret of the webhook with key "token"/);
  for (const { code, body: answer } of refusals) assert.deepEqual([code, answer], [first?.code, first?.body]);
});

test('only POST is taken, and nothing that is too large', async () => {
  assert.equal((await send('/webhooks/v1/default/till', { method: 'GET', body: '' })).code, 405);
  assert.equal((await send('/webhooks/v1/default/till', { body: 'x'.repeat(4 * 1024 ** 2 + 1) })).code, 413);
});

test('what came is counted', async () => {
  const client = createHttpClient({ kubeconfig: await loadKubeconfig(hub.kubeconfigPath) });
  const { signal } = new AbortController();
  let metrics = '';
  for await (const chunk of client.download({ path: '/metrics', idleMilliseconds: 60_000, signal }))
    metrics += Buffer.from(chunk).toString('utf8');
  await client.close();
  for (const result of ['push', 'ping', 'other', 'refused']) {
    assert.match(metrics, new RegExp(`selvedge_webhooks_total\\{result="${result}"\\} [1-9]`));
  }
});

test('a sender that sends without end is told to wait', async () => {
  const codes: number[] = [];
  for (let count = 0; count < 200 && !codes.includes(429); count += 1) {
    codes.push((await send('/webhooks/v1/default/till', { body: '' })).code);
  }
  assert.ok(codes.includes(429), 'it was told to wait');
});
