import assert from 'node:assert/strict';
import { generateKeyPairSync } from 'node:crypto';
import { test, type TestContext } from 'node:test';
import {
  type Application,
  applications,
  namespaces,
  type SealedEnvelope,
  type SealedValue,
  sealedValueContext,
  sealedValueInfo,
  type Secret,
  secrets,
  sites,
  type StatusBody,
} from '@selvedge/api';
import { keyFingerprint } from '@selvedge/api/node';
import { suite } from '../credentials/sealing-suite.ts';
import { eventually, TestHub } from './testing/test-hub.ts';
import type { TestAgent } from './testing/test-agent.ts';

const id = 'Secret/shop/keys';
const path = `/content/v1/sealed/${encodeURIComponent(id)}`;

interface Recipient {
  readonly publicKey: string;
  readonly privateKey: string;
}

function makeRecipient(): Recipient {
  const { x = '', d = '' } = generateKeyPairSync('x25519').privateKey.export({ format: 'jwk' });
  return { publicKey: x, privateKey: d };
}

async function putSecret(hub: TestHub, pin: string): Promise<void> {
  const metadata = { namespace: 'shop', name: 'keys' };
  const object = { apiVersion: 'v1', kind: 'Secret', metadata, stringData: { pin } } as Secret;
  await hub.hub.client.apply(secrets, object, { fieldManager: 'test', force: true });
}

/** A hub whose site berlin, and no other, has an application with the Secret. */
async function startHub(t: TestContext): Promise<{ hub: TestHub; berlin: TestAgent; munich: TestAgent }> {
  const hub = await TestHub.start(t);
  const [berlin, munich] = [await hub.enrolledAgent('berlin'), await hub.enrolledAgent('munich')];
  const { client } = hub.hub;
  const shop = { apiVersion: 'v1', kind: 'Namespace', metadata: { name: 'shop' } };
  if ((await client.find(namespaces, { name: 'shop' })) === undefined) await client.create(namespaces, shop);
  await putSecret(hub, '4711');
  await client.mergePatch(sites, { name: 'berlin' }, { metadata: { labels: { till: 'yes' } } });
  await client.create<Application>(applications, {
    apiVersion: 'selvedge.dev/v1alpha1',
    kind: 'Application',
    metadata: { namespace: 'shop', name: 'till' },
    spec: {
      source: {
        inline: { manifests: [{ apiVersion: 'v1', kind: 'ConfigMap', metadata: { name: 'page' } }] },
      },
      placement: { siteSelector: { matchLabels: { till: 'yes' } } },
      secrets: [{ name: 'keys' }],
    },
  });
  return { hub, berlin, munich };
}

/** Until the hub lists the value for the site. */
const fetchValue = (agent: TestAgent): Promise<SealedValue> =>
  eventually(async () => {
    const got = await ask(agent);
    return got.code === 200 ? got.body : undefined;
  });

const ask = (agent: TestAgent) => agent.signedCall<SealedValue & StatusBody>({ method: 'GET', path });

async function tellKey(agent: TestAgent, { publicKey }: Recipient): Promise<void> {
  await agent.sync({ agent: { ...agent.info, sealingKey: publicKey }, maxWaitSeconds: 1 });
}

async function open(agent: TestAgent, value: SealedValue, recipient: Recipient) {
  const envelope = JSON.parse(await agent.verify(value.signed)) as SealedEnvelope;
  const bytes = (text: string) => new Uint8Array(Buffer.from(text, 'base64url'));
  const plain = await suite.Open(
    {
      privateKey: await suite.DeserializePrivateKey(bytes(recipient.privateKey)),
      publicKey: await suite.DeserializePublicKey(bytes(recipient.publicKey)),
    },
    bytes(envelope.encapsulated),
    bytes(envelope.ciphertext),
    {
      info: new TextEncoder().encode(sealedValueInfo),
      aad: new TextEncoder().encode(sealedValueContext(envelope)),
    },
  );
  return { envelope, value: JSON.parse(Buffer.from(plain).toString()) as { data: Record<string, string> } };
}

test('a value is only for the sites that run what names it, and for agents that have told a key', async (t) => {
  const { berlin, munich } = await startHub(t);
  assert.equal((await ask(berlin)).code, 404, 'the agent has told no key');
  await tellKey(munich, makeRecipient());
  const recipient = makeRecipient();
  await tellKey(berlin, recipient);
  await open(berlin, await fetchValue(berlin), recipient);
  assert.equal((await ask(munich)).code, 404, 'nothing there names it');
});

test('a value that has changed is not given under the version of before', async (t) => {
  const { hub, berlin } = await startHub(t);
  const recipient = makeRecipient();
  await tellKey(berlin, recipient);
  const { envelope } = await open(berlin, await fetchValue(berlin), recipient);
  await putSecret(hub, '4712');
  const versions = await eventually(async () => {
    const got = await ask(berlin);
    // In between the hub says that the site is about to be told.
    assert.ok(got.code === 200 || got.code === 503, String(got.code));
    if (got.code !== 200) return undefined;
    const now = await open(berlin, got.body, recipient);
    const isNew = now.value.data['pin'] === Buffer.from('4712').toString('base64');
    assert.equal(isNew, now.envelope.version !== envelope.version);
    return isNew ? [now.envelope.version] : undefined;
  });
  const { policy } = await hub.hub.fleet.siteState('berlin');
  assert.deepEqual(
    policy.sealed?.map(({ version }) => version),
    versions,
  );
});

test('an unsigned request and one of another method get nothing', async (t) => {
  const hub = await TestHub.start(t);
  const agent = await hub.enrolledAgent('berlin');
  const overrides = { key: generateKeyPairSync('ed25519').privateKey };
  const stranger = await agent.signedCall({ method: 'GET', path }, overrides);
  assert.equal(stranger.code, 401);
  assert.equal((await agent.signedCall({ method: 'POST', path, body: '{}' })).code, 405);
});

test('a value is sealed anew when the agent has another key', async (t) => {
  const { berlin } = await startHub(t);
  const first = makeRecipient();
  await tellKey(berlin, first);
  const answer = await fetchValue(berlin);
  const opened = await open(berlin, answer, first);
  assert.equal(opened.value.data['pin'], Buffer.from('4711').toString('base64'));
  assert.equal(opened.envelope.key, keyFingerprint(first.publicKey));
  assert.ok(!answer.signed.includes(Buffer.from('4711').toString('base64url')));

  const second = makeRecipient();
  await tellKey(berlin, second);
  const again = await open(berlin, (await ask(berlin)).body, second);
  assert.equal(again.value.data['pin'], opened.value.data['pin']);
  assert.equal(again.envelope.version, opened.envelope.version);
  assert.notEqual(again.envelope.ciphertext, opened.envelope.ciphertext);
  await assert.rejects(open(berlin, (await ask(berlin)).body, first));
});
