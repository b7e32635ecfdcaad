import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { createLogger, systemClock } from '@selvedge/api/node';
import { freePort } from '@selvedge/testkit';
import { openDepotForImport } from '../commands/import-site.ts';
import { MemoryDriver } from '../testing/memory-driver.ts';
import { eventually, makeStateDir, startTestAgent } from '../testing/test-agent.ts';
import { TestHub } from '../testing/test-hub.ts';
import { HubRegistryDoor } from './hub-door.ts';
import type { Depot } from './depot.ts';
import { DepotError } from './depot.ts';
import { getReference } from './image-fetcher.ts';
import { listDepot } from './list-depot.ts';
import { openTestDepot, request, temporaryDirectory } from './testing/depot-under-test.ts';
import { ImageRegistry } from './testing/image-registry.ts';

const kib = 1024;

function workload(image: string): object[] {
  const template = { spec: { containers: [{ name: 'main', image: `${image}` }] } };
  return [{ apiVersion: 'apps/v1', kind: 'Deployment', metadata: { name: 'till' }, spec: { template } }];
}

test('the depot of an agent knows what its items need, keeps it over restarts, and serves with everything away', async () => {
  await using dir = await makeStateDir();
  await using registry = await ImageRegistry.start();
  const port = await freePort();
  const directory = join(dir.path, 'depot');
  const start = (token?: string) => {
    const driver = new MemoryDriver();
    let depot: Depot | undefined;
    const agent = startTestAgent({
      stateDir: dir.path,
      driver,
      depot: {
        directory,
        insecureRegistries: [registry.address],
        listen: { host: '127.0.0.1', port },
        reserveBytes: 0,
      },
      createDriver: (context) => {
        depot = context.depot;
        return driver;
      },
      ...(token === undefined ? {} : { token }),
    });
    return { agent, depot: () => depot as Depot };
  };
  const image = `${registry.address}/shop/till:1`;
  registry.addImage('shop/till:1', [50 * kib]);
  registry.addImage('shop/till:2', [50 * kib]);
  const needed = async () =>
    existsSync(join(directory, 'needed.json'))
      ? Object.values(
          JSON.parse(await readFile(join(directory, 'needed.json'), 'utf8')) as Record<string, string[]>,
        )
      : [];
  const hub = await TestHub.start();
  try {
    const { agent, depot } = start(hub.token());
    hub.assign('till', workload(image));
    await eventually('the image is needed', async () => (await needed()).flat().includes(image));
    assert.ok(await depot().ensure(image, request()));
    hub.assign('till', workload(`${registry.address}/shop/till:2`));
    await eventually(
      'both are needed: one may go back to the first',
      async () => (await needed()).flat().length === 2,
    );
    await agent.stop();
  } finally {
    await hub[Symbol.asyncDispose]();
  }
  registry.isDown = true;
  await using again = start().agent;
  assert.ok(again);
  const url = `http://127.0.0.1:${port}/v2/shop/till/manifests/1?ns=${registry.address}`;
  await eventually('it serves', async () => (await fetch(url).catch(() => undefined))?.status === 200);
  assert.equal((await needed()).flat().length, 2);
  const list = await listDepot(directory);
  assert.deepEqual(
    list.images
      .filter(({ name }) => name === image)
      .map(({ isNeeded, hereBytes, sizeBytes }) => [isNeeded, hereBytes === sizeBytes]),
    [[true, true]],
  );
});

test('a depot that cannot be had does not keep the applications of a site from running', async () => {
  await using dir = await makeStateDir();
  await using hub = await TestHub.start();
  const file = join(dir.path, 'a-file');
  await writeFile(file, 'no folder');
  await using agent = startTestAgent({
    stateDir: dir.path,
    token: hub.token(),
    depot: { directory: join(file, 'depot'), insecureRegistries: [], listen: { host: '127.0.0.1', port: 0 } },
  });
  hub.assign('till', workload('registry.example/shop/till:1'));
  await eventually('it runs', () => agent.driver.running.size === 1);
  assert.ok(agent.log.some(({ message }) => message.startsWith('the depot cannot be opened')));
});

test('images of the hub come over the connection that the agent has with it', async (t) => {
  await using registry = await ImageRegistry.start();
  const { manifestDigest } = registry.addImage('shop/till:1', [100 * kib]);
  registry.cut = { afterBytes: 60 * kib, times: 1 };
  const { RegistryTransport } = await import('./registry-transport.ts');
  const transport = new RegistryTransport({
    proxies: { findProxy: () => undefined },
    extraCas: [],
    insecureRegistries: [],
  });
  t.after(() => transport.close());
  const paths: string[] = [];
  const depot = await openTestDepot({
    directory: await temporaryDirectory(t),
    surroundings: {
      hubRegistries: () => ['hub.example:8443'],
      openAtHub: async (path, { headers, signal }) => {
        paths.push(path);
        return await transport.open({ url: new URL(`http://${registry.address}${path}`), headers, signal });
      },
    },
  });
  t.after(() => depot.close());
  const image = await depot.ensure(`hub.example:8443/shop/till:1@${manifestDigest}`, request());
  assert.equal(image?.digest, manifestDigest);
  assert.ok(paths.every((path) => path.startsWith('/v2/shop/till/')));
  assert.ok(
    registry.requests.some(({ range }) => range !== undefined),
    'a cut is gone on from',
  );
  const door = new HubRegistryDoor(getReference('hub.example:8443/shop/till:1'), async () => {
    throw new Error('no way to the hub');
  });
  const asked = door.open({ path: 'manifests/1', headers: {}, signal: new AbortController().signal });
  await assert.rejects(
    asked,
    (error: unknown) => error instanceof DepotError && error.reason === 'Unavailable',
  );
});

test('what is carried to a site finds the depot that its agent has, also before that has kept anything', async () => {
  await using dir = await makeStateDir();
  await using hub = await TestHub.start();
  const elsewhere = join(dir.path, 'elsewhere');
  const open = (depot?: string) =>
    openDepotForImport({
      stateDir: dir.path,
      depot,
      clock: systemClock,
      logger: createLogger({ level: 'error' }),
    });
  const run = async (directory?: string) => {
    const agent = startTestAgent({
      stateDir: dir.path,
      token: hub.token(),
      ...(directory === undefined ? {} : { depot: { directory, insecureRegistries: [] } }),
    });
    await eventually('the agent is at work', () => agent.log.some(({ message }) => /driving/.test(message)));
    await agent.stop();
  };
  await run(elsewhere);
  assert.equal(existsSync(elsewhere), false);
  assert.ok(await open());
  assert.ok(existsSync(elsewhere));
  await run();
  assert.equal(await open(), undefined, 'it has none now');
  assert.ok(await open(elsewhere), 'whoever imports may name one');
});
