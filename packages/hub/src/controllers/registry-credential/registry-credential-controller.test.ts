import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  type RegistryCredential,
  type RegistryCredentialSpec,
  registryCredentials,
  type Secret,
  secrets,
} from '@selvedge/api';
import { FakeEcr } from '@selvedge/testkit';
import { openRegistryLogins } from '../../credentials/open-registry-logins.ts';
import { TestHub } from '../testing/test-hub.ts';

const namespace = 'shop';
const region = 'eu-central-1';
const image = '123456789012.dkr.ecr.eu-central-1.amazonaws.com/till';
const registry = '123456789012.dkr.ecr.eu-central-1.amazonaws.com';
const hourMs = 3_600_000;
const never = new AbortController().signal;

async function putSecret(hub: TestHub, name: string, stringData: Record<string, string>): Promise<void> {
  const object = { apiVersion: 'v1', kind: 'Secret', metadata: { name, namespace }, stringData } as Secret;
  await hub.client.apply(secrets, object, { fieldManager: 'test', force: true });
}

async function putCredential(hub: TestHub, spec: RegistryCredentialSpec): Promise<void> {
  await hub.client.create<RegistryCredential>(registryCredentials, {
    apiVersion: 'selvedge.dev/v1alpha1',
    kind: 'RegistryCredential',
    metadata: { name: 'images', namespace },
    spec,
  });
}

async function ready(hub: TestHub): Promise<string | undefined> {
  const found = await hub.client.get<RegistryCredential>(registryCredentials, { namespace, name: 'images' });
  const condition = found.status?.conditions?.find(({ type }) => type === 'Ready');
  return condition && `${condition.status} ${condition.reason}`;
}

async function startWithEcr(): Promise<{ hub: TestHub; ecr: FakeEcr } & AsyncDisposable> {
  const hub = await TestHub.start();
  const ecr = await FakeEcr.start({ region, keys: { AKIATEST: 'very secret' }, now: () => hub.clock.now() });
  await hub.stopControllers();
  hub.ecr = { endpoints: [], insecureEndpoints: [ecr.host] };
  hub.startControllers();
  await putSecret(hub, 'aws', { aws_access_key_id: 'AKIATEST', aws_secret_access_key: 'very secret' });
  const dispose = async () => {
    await hub[Symbol.asyncDispose]();
    await ecr[Symbol.asyncDispose]();
  };
  return { hub, ecr, [Symbol.asyncDispose]: dispose };
}

const spec = (ecr: FakeEcr): RegistryCredentialSpec => ({
  registries: [registry],
  ecr: { region, secretRef: { name: 'aws' }, endpoint: ecr.endpoint },
});

test('a token of ECR is asked for by SigV4, and again at half of its life', async () => {
  await using parts = await startWithEcr();
  const { hub, ecr } = parts;
  await putCredential(hub, spec(ecr));
  await hub.eventually(async () => assert.equal(await ready(hub), 'True TokenPresent'));
  const logins = openRegistryLogins({ client: () => hub.client, clock: hub.clock });
  const login = async () => (await logins.find(namespace, image, never))?.password;
  assert.equal(await login(), ecr.tokens[0]);

  await hub.clock.advance(5 * hourMs);
  assert.equal(ecr.requests, 1, 'not before the half of its life');
  await hub.clock.advance(2 * hourMs);
  await hub.eventually(async () => assert.equal(await login(), ecr.tokens[1]));
});

test('a hub that starts again does not ask again', async () => {
  await using parts = await startWithEcr();
  const { hub, ecr } = parts;
  await putCredential(hub, spec(ecr));
  await hub.eventually(async () => assert.equal(await ready(hub), 'True TokenPresent'));
  await hub.stopControllers();
  hub.startControllers();
  await putSecret(hub, 'other', { unlike: 'anything' });
  await hub.clock.advance(hourMs);
  assert.equal(ecr.requests, 1);
});

test('while ECR gives none, the token that there is goes on; without one the condition says why', async () => {
  await using parts = await startWithEcr();
  const { hub, ecr } = parts;
  ecr.isBroken = true;
  await putCredential(hub, spec(ecr));
  await hub.eventually(async () => assert.equal(await ready(hub), 'False NoToken'));
  ecr.isBroken = false;
  await hub.clock.advance(61_000);
  await hub.eventually(async () => assert.equal(await ready(hub), 'True TokenPresent'));
  ecr.isBroken = true;
  await hub.clock.advance(7 * hourMs);
  await hub.eventually(async () => assert.equal(await ready(hub), 'True NotRenewed'));
  const logins = openRegistryLogins({ client: () => hub.client, clock: hub.clock });
  assert.equal((await logins.find(namespace, image, never))?.password, ecr.tokens[0]);
  await hub.clock.advance(6 * hourMs);
  await hub.eventually(async () => assert.equal(await ready(hub), 'False NoToken'));
  await assert.rejects(logins.find(namespace, image, never), /has no token yet/);
});

test('wrong keys are refused by ECR, and no part of them is told', async () => {
  await using parts = await startWithEcr();
  const { hub, ecr } = parts;
  await putSecret(hub, 'aws', { aws_access_key_id: 'AKIATEST', aws_secret_access_key: 'not this one' });
  await putCredential(hub, spec(ecr));
  await hub.eventually(async () => assert.equal(await ready(hub), 'False NoToken'));
  const found = await hub.client.get<RegistryCredential>(registryCredentials, { namespace, name: 'images' });
  const text = JSON.stringify(found);
  assert.match(text, /InvalidSignatureException/);
  assert.ok(!text.includes('not this one') && !text.includes('AKIATEST'));
  // Another key in the Secret is tried at once.
  await putSecret(hub, 'aws', { aws_access_key_id: 'AKIATEST', aws_secret_access_key: 'very secret' });
  await hub.eventually(async () => assert.equal(await ready(hub), 'True TokenPresent'));
});

test('an endpoint that the operator has not named is not asked', async () => {
  await using parts = await startWithEcr();
  const { hub, ecr } = parts;
  await putCredential(hub, {
    registries: [registry],
    ecr: { region, secretRef: { name: 'aws' }, endpoint: 'http://127.0.0.1:9/' },
  });
  await hub.eventually(async () => assert.equal(await ready(hub), 'False NoToken'));
  assert.equal(ecr.requests, 0);
});

test('a login of a Secret follows the Secret; the longest entry of all registries counts', async () => {
  await using hub = await TestHub.start();
  await putCredential(hub, {
    registries: ['registry.example:5000', 'registry.example/team'],
    static: { secretRef: { name: 'login' } },
  });
  await hub.eventually(async () => assert.equal(await ready(hub), 'False SecretMissing'));
  const logins = openRegistryLogins({ client: () => hub.client, clock: hub.clock });
  await assert.rejects(logins.find(namespace, 'registry.example:5000/a', never), /which is not there/);
  await putSecret(hub, 'login', { username: 'till', password: 'one' });
  await hub.eventually(async () => assert.equal(await ready(hub), 'True LoginPresent'));
  assert.deepEqual(await logins.find(namespace, 'registry.example/team/app', never), {
    username: 'till',
    password: 'one',
  });
  assert.equal(await logins.find(namespace, 'registry.example/teams/app', never), undefined);
  await putSecret(hub, 'login', { password: 'two' });
  assert.equal((await logins.find(namespace, 'registry.example:5000/a', never))?.password, 'two');
});
