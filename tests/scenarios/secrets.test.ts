import assert from 'node:assert/strict';
import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { holdSite, releaseSite } from '@selvedge/agent/testing';
import {
  type Application,
  applications,
  type Release,
  releases,
  type Secret,
  secrets,
  type SecretValue,
  type Site,
  sites,
} from '@selvedge/api';
import { FleetLab, hours, minutes } from './fleet-lab.ts';

const namespace = 'shop';
const names = ['shop-0', 'shop-1'];
const secretName = 'till-keys';

async function putSecret(lab: FleetLab, pin: string): Promise<void> {
  await lab.client.apply<Secret>(
    secrets,
    {
      apiVersion: 'v1',
      kind: 'Secret',
      metadata: { name: secretName, namespace },
      stringData: { pin },
    } as Secret,
    { fieldManager: 'lab', force: true },
  );
}

/** What the driver was given last. */
function valueAt(lab: FleetLab, site: string): SecretValue | undefined {
  const [item] = lab.site(site).agent.driver.desired;
  return item?.secrets.get(secretName);
}

function pinAt(lab: FleetLab, site: string): string | undefined {
  const value = valueAt(lab, site)?.data['pin'];
  return value === undefined ? undefined : Buffer.from(value, 'base64').toString();
}

async function labWithSecret(): Promise<FleetLab> {
  const lab = await FleetLab.start();
  await putSecret(lab, 'first-pin-4711');
  await lab.addSites(names);
  await lab.apply('till', { version: '1', spec: { secrets: [{ name: secretName }] } });
  await lab.rolloutReaches('till-1', 'Completed');
  return lab;
}

async function everywhere(lab: FleetLab, pin: string): Promise<void> {
  await lab.untilWithin(hours(12), `every site has ${pin}`, async () =>
    names.every((site) => pinAt(lab, site) === pin),
  );
}

/** All that a folder holds, as text. */
async function contentsOf(folder: string): Promise<string> {
  const entries = await readdir(folder, { recursive: true, withFileTypes: true });
  const files = entries.filter((entry) => entry.isFile());
  const texts = await Promise.all(files.map((file) => readFile(join(file.parentPath, file.name), 'latin1')));
  return texts.join('\n');
}

test('a Secret reaches its sites sealed, and another value without a release', async () => {
  await using lab = await labWithSecret();
  await everywhere(lab, 'first-pin-4711');
  const before = await lab.client.get<Application>(applications, { namespace, name: 'till' });
  await putSecret(lab, 'second-pin-4712');
  await everywhere(lab, 'second-pin-4712');
  const after = await lab.client.get<Application>(applications, { namespace, name: 'till' });
  assert.equal(after.status?.release, before.status?.release);
  const { items } = await lab.client.list<Release>(releases, { namespace });
  assert.deepEqual(
    items.map(({ spec }) => spec.secrets),
    [[secretName]],
  );

  for (const site of names) {
    const kept = await contentsOf(lab.site(site).stateDir);
    for (const pin of ['first-pin-4711', 'second-pin-4712']) {
      assert.ok(!kept.includes(pin), 'in the clear on the disk of the agent');
      assert.ok(!kept.includes(Buffer.from(pin).toString('base64')), 'in base64 on the disk of the agent');
    }
    const log = JSON.stringify(lab.site(site).agent.log);
    assert.ok(!log.includes('pin-47') && !log.includes(Buffer.from('second-pin-4712').toString('base64')));
  }
});

test('a release waits for its Secret, and says for which', async () => {
  await using lab = await FleetLab.start();
  await lab.addSites(['shop-0']);
  await lab.apply('till', { version: '1', spec: { secrets: [{ name: secretName }] } });
  await lab.untilWithin(hours(12), 'the hub knows what is missing', async () => {
    const delivery = await lab.findDelivery('till', 'shop-0');
    const { reason, message } = delivery?.status ?? {};
    return reason === 'SecretMissing' && message?.includes(`Secret ${secretName} has not arrived`) === true;
  });
  assert.equal(lab.versionAt('shop-0', 'till'), undefined);
  await putSecret(lab, 'late');
  await lab.rolloutReaches('till-1', 'Completed');
  assert.equal(pinAt(lab, 'shop-0'), 'late');
});

test('a Secret that is deleted at the hub stays at its sites, over a restart without the hub too', async () => {
  await using lab = await labWithSecret();
  await lab.client.delete(secrets, { namespace, name: secretName });
  await lab.apply('till', { version: '2', spec: { secrets: [{ name: secretName }] } });
  await lab.rolloutReaches('till-2', 'Completed');
  await lab.stopAgent('shop-0');
  lab.cut('shop-0');
  lab.startAgent('shop-0');
  await lab.until('the driver has its item again', async () => pinAt(lab, 'shop-0') === 'first-pin-4711');
});

test('a site on hold keeps the value that it has, over a restart too', async () => {
  await using lab = await labWithSecret();
  await everywhere(lab, 'first-pin-4711');
  const act = { stateDir: lab.site('shop-0').stateDir, by: 'anna', reason: 'inventory', clock: lab.clock };
  await holdSite(act);
  await lab.untilWithin(hours(12), 'the agent knows of the hold', async () => {
    const site = await lab.client.get<Site>(sites, { name: 'shop-0' });
    return (site.status?.holds ?? []).length > 0;
  });
  await putSecret(lab, 'second-pin-4712');
  await lab.untilWithin(
    hours(12),
    'the other has it',
    async () => pinAt(lab, 'shop-1') === 'second-pin-4712',
  );
  await lab.pass(minutes(30));
  assert.equal(pinAt(lab, 'shop-0'), 'first-pin-4711');
  await lab.stopAgent('shop-0');
  lab.startAgent('shop-0');
  await lab.pass(minutes(30));
  assert.equal(pinAt(lab, 'shop-0'), 'first-pin-4711');
  await releaseSite(act);
  await everywhere(lab, 'second-pin-4712');
});

test('versions are the same after a restart of the hub: no site is told anything', async () => {
  await using lab = await labWithSecret();
  await everywhere(lab, 'first-pin-4711');
  const epoch = async () => (await lab.client.get<Site>(sites, { name: 'shop-0' })).status?.epoch;
  const before = await epoch();
  await lab.stopHub();
  await lab.startHub();
  await lab.pass(minutes(30));
  assert.equal(await epoch(), before);
});
