import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type RegistryCredential, registryCredentials } from '@selvedge/api';
import { TestHub } from '../testing/test-hub.ts';

const images = { namespace: 'shop', name: 'images' };

test('a token of a registry that is renewed makes the hub look at no site', async () => {
  await using hub = await TestHub.start();
  await hub.addSites('shop-1');
  await hub.apply();
  await hub.eventually(async () => assert.equal((await hub.application()).status?.phase, 'Completed'));
  let readings = 0;
  const listDeliveries = hub.fleet.listDeliveries.bind(hub.fleet);
  hub.fleet.listDeliveries = (filter) => {
    // Of all applications of the namespace: whom a value matters to.
    if (Object.keys(filter).join() === 'namespace') readings += 1;
    return listDeliveries(filter);
  };
  const settle = async () => {
    for (let i = 0; i < 30; i++) await hub.pass(100);
  };
  await hub.client.create<RegistryCredential>(registryCredentials, {
    apiVersion: 'selvedge.dev/v1alpha1',
    kind: 'RegistryCredential',
    metadata: images,
    spec: { registries: ['registry.example'], static: { secretRef: { name: 'login' } } },
  });
  await hub.eventually(() => Promise.resolve(assert.ok(readings > 0)));
  await settle();

  const before = readings;
  for (let hour = 0; hour < 5; hour++) {
    const credential = await hub.client.get<RegistryCredential>(registryCredentials, images);
    const refreshedTime = hub.clock.now().toISOString();
    await hub.client.updateStatus(registryCredentials, {
      ...credential,
      status: { ...credential.status, refreshedTime },
    });
    await settle();
  }
  assert.equal(readings, before);

  await hub.client.mergePatch(registryCredentials, images, { spec: { registries: ['other.example'] } });
  await hub.eventually(() => Promise.resolve(assert.ok(readings > before)));
});
