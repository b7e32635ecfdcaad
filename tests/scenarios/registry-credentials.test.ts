import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  type RegistryCredential,
  registryCredentials,
  type ScopedLogin,
  type Secret,
  secrets,
  type Site,
  sites,
} from '@selvedge/api';
import { FakeEcr } from '@selvedge/testkit';
import { FleetLab, hours, minutes } from './fleet-lab.ts';

const namespace = 'shop';
const region = 'eu-central-1';
const registry = '123456789012.dkr.ecr.eu-central-1.amazonaws.com';
const days = (count: number): number => hours(24 * count);

const deployment = {
  apiVersion: 'apps/v1',
  kind: 'Deployment',
  metadata: { name: 'till' },
  spec: {
    selector: { matchLabels: { app: 'till' } },
    template: {
      metadata: { labels: { app: 'till' } },
      spec: { containers: [{ name: 'till', image: `${registry}/till:1` }] },
    },
  },
};

/** Of the first item, as the driver has it now. */
function loginAt(lab: FleetLab, site: string): ScopedLogin | undefined {
  return lab.site(site).agent.driver.desired[0]?.logins[0];
}

test('a token of ECR reaches the sites that pull, is fresh after twelve hours, and after weeks away', async () => {
  let lab: FleetLab | undefined;
  // The same clock for all, or signatures would be from another day.
  const now = () => lab?.clock.now() ?? new Date(0);
  await using ecr = await FakeEcr.start({ region, keys: { AKIATEST: 'very secret' }, now });
  await using started = await FleetLab.start({ hub: { insecureRegistry: [ecr.host] } });
  lab = started;
  await goThrough(started, ecr);
});

async function goThrough(lab: FleetLab, ecr: FakeEcr): Promise<void> {
  await lab.client.create<Secret>(secrets, {
    apiVersion: 'v1',
    kind: 'Secret',
    metadata: { name: 'aws', namespace },
    stringData: { aws_access_key_id: 'AKIATEST', aws_secret_access_key: 'very secret' },
  });
  await lab.client.create<RegistryCredential>(registryCredentials, {
    apiVersion: 'selvedge.dev/v1alpha1',
    kind: 'RegistryCredential',
    metadata: { name: 'images', namespace },
    spec: { registries: [registry], ecr: { region, secretRef: { name: 'aws' }, endpoint: ecr.endpoint } },
  });
  await lab.addSites(['shop-0']);
  await lab.apply('till', {
    version: '1',
    spec: { source: { inline: { manifests: [deployment] } }, images: { tags: 'Keep' } },
  });
  await lab.untilWithin(
    hours(12),
    'the site has the token',
    async () => loginAt(lab, 'shop-0') !== undefined,
  );
  const first = loginAt(lab, 'shop-0');
  assert.equal(first?.registry, registry);
  assert.ok(ecr.tokens.includes(first?.password ?? ''));
  const epoch = async () => (await lab.client.get<Site>(sites, { name: 'shop-0' })).status?.epoch;
  const before = await epoch();

  lab.clock.skip(hours(9));
  await lab.untilWithin(
    hours(2),
    'it is another one',
    async () => loginAt(lab, 'shop-0')?.password !== first?.password,
  );
  assert.equal(await epoch(), before, 'a renewed token is no new state');

  lab.cut('shop-0');
  lab.clock.skip(days(20));
  await lab.pass(minutes(8));
  const stale = loginAt(lab, 'shop-0')?.password;
  lab.restore('shop-0');
  await lab.untilWithin(hours(2), 'it is fresh again', async () => {
    const { password } = loginAt(lab, 'shop-0') ?? {};
    return password !== stale && password === ecr.tokens.at(-1);
  });
}
