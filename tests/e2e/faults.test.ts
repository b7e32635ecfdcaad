import assert from 'node:assert/strict';
import { createServer, type Server } from 'node:net';
import { after, before, describe, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Delivery } from '@selvedge/api';
import { freePort, requireTool } from '@selvedge/testkit';
import type { Lab } from '../../quickstart/lab/lab.ts';
import { assertAlwaysAnswered, PageProber } from '../../quickstart/lab/page-prober.ts';
import { poll } from '../../quickstart/lab/poll.ts';
import {
  applicationObject,
  applyObjects,
  joinSite,
  labTools,
  pageContainer,
  startTestLab,
  waitDelivery,
} from './test-lab.ts';

const site = 'shop';

describe('faults at a site', requireTool(...labTools), () => {
  let lab: Lab;
  let image: string;

  before(async () => {
    ({ lab, image } = await startTestLab([site]));
    await applyObjects(lab, [{ apiVersion: 'v1', kind: 'Namespace', metadata: { name: 'test' } }]);
    await joinSite(lab, site, {});
  });

  after(async () => {
    await lab?.close({ keepData: false });
  });

  const remove = (name: string) => lab.kubectl.run('delete', 'application', name, '-n', 'test');
  const hasFailed = (delivery: Delivery) => delivery.status.state === 'Failed';

  /** The reason stands in all three places where a person looks first. */
  async function assertToldEverywhere(application: string, reason: string, words: RegExp): Promise<void> {
    const table = await lab.kubectl.run('get', 'deliveries', '-n', 'test');
    const row = table.split('\n').find((line) => line.startsWith(`${application}.${site}`)) ?? '';
    assert.match(row, /Failed/, `get deliveries:\n${table}`);
    assert.ok(row.includes(reason), `get deliveries names ${reason}:\n${table}`);
    const description = await lab.kubectl.run('describe', 'delivery', `${application}.${site}`, '-n', 'test');
    assert.ok(description.includes(reason), `describe names ${reason}:\n${description}`);
    assert.match(description, words);
    const { stdout } = await lab.trySelvedge('why', site, application, '--namespace', 'test');
    assert.ok(stdout.includes(reason), `selvedge why names ${reason}:\n${stdout}`);
    assert.match(stdout, words);
  }

  test('an image that does not exist is named', async () => {
    const missing = `${lab.registry.address}/page@sha256:${'0'.repeat(64)}`;
    await applyObjects(lab, [applicationObject({ name: 'no-image', container: { image: missing } })]);
    const delivery = await waitDelivery(lab, { application: 'no-image', site }, hasFailed);
    assert.ok(delivery.status.message?.includes(missing), delivery.status.message);
    await assertToldEverywhere('no-image', delivery.status.reason ?? 'a reason', /0000000000/);
    await remove('no-image');
  });

  test('a port that somebody else holds is named', async () => {
    const port = await freePort();
    const squatter = await listen(port);
    try {
      const parts = { name: 'port-taken', container: pageContainer(image, 'one'), port };
      await applyObjects(lab, [applicationObject(parts)]);
      const delivery = await waitDelivery(lab, { application: 'port-taken', site }, hasFailed);
      assert.ok(delivery.status.message?.includes(String(port)), delivery.status.message);
      await assertToldEverywhere(
        'port-taken',
        delivery.status.reason ?? 'a reason',
        new RegExp(String(port)),
      );
    } finally {
      await new Promise((resolve) => squatter.close(resolve));
    }
    await waitDelivery(lab, { application: 'port-taken', site }, ({ status }) => status.state === 'Running');
    await remove('port-taken');
  });

  test('a container that exits at once is reported with its last log lines', async () => {
    const container = { image, command: ['/bin/sh', '-c', 'echo the till has no drawer; exit 3'] };
    const strategy = { deadline: '20s' };
    await applyObjects(lab, [applicationObject({ name: 'exits', container, strategy })]);
    const delivery = await waitDelivery(lab, { application: 'exits', site }, hasFailed);
    assert.deepEqual(delivery.status.logs?.at(-1), 'the till has no drawer');
    await assertToldEverywhere('exits', delivery.status.reason ?? 'a reason', /the till has no drawer/);
    await remove('exits');
  });

  test('a probe that never passes fails the new release, and the old one serves on', async () => {
    const port = await freePort();
    const parts = { name: 'probe', container: pageContainer(image, 'good'), port };
    await applyObjects(lab, [applicationObject(parts)]);
    const before = await waitDelivery(
      lab,
      { application: 'probe', site },
      ({ status }) => status.state === 'Running',
    );

    const broken = {
      ...pageContainer(image, 'bad'),
      readinessProbe: { httpGet: { path: '/no-such-page', port: 8080 }, periodSeconds: 1 },
    };
    const strategy = { deadline: '15s' };
    await applyObjects(lab, [applicationObject({ ...parts, container: broken, strategy })]);
    const delivery = await waitDelivery(lab, { application: 'probe', site }, hasFailed);
    assert.notEqual(delivery.spec.release, before.spec.release);
    await assertToldEverywhere('probe', delivery.status.reason ?? 'a reason', /no-such-page|404/);
    const page = await (await fetch(`http://127.0.0.1:${port}/site.json`)).json();
    assert.equal((page as { edition: string }).edition, 'good');
    await remove('probe');
  });

  test('an agent killed in the middle of a replacement finishes it, and the port answers throughout', async () => {
    const port = await freePort();
    const parts = { name: 'replaced', port, deployment: { replicas: 3 } };
    await applyObjects(lab, [applicationObject({ ...parts, container: pageContainer(image, 'one') })]);
    await waitDelivery(lab, { application: 'replaced', site }, ({ status }) => status.state === 'Running');

    const prober = new PageProber([{ name: site, pageUrl: `http://127.0.0.1:${port}` }]);
    try {
      await applyObjects(lab, [applicationObject({ ...parts, container: pageContainer(image, 'two') })]);
      await waitDelivery(
        lab,
        { application: 'replaced', site },
        ({ status }) => status.state === 'Activating',
      );
      await lab.site(site).crashAgent();
      await lab.startAgent(site);
      const isDone = (delivery: Delivery) =>
        delivery.status.state === 'Running' && delivery.status.runningRelease === delivery.spec.release;
      const release = await newestRelease('replaced');
      await waitDelivery(
        lab,
        { application: 'replaced', site },
        (d) => d.spec.release === release && isDone(d),
      );
    } finally {
      await prober.stop();
    }
    assertAlwaysAnswered(await prober.stop());
    const page = await (await fetch(`http://127.0.0.1:${port}/site.json`)).json();
    assert.equal((page as { edition: string }).edition, 'two');
    await remove('replaced');
    await poll(async () => ((await lab.site(site).runningContainers()).length === 0 ? true : undefined), {
      seconds: 60,
      what: 'every container is removed',
      why: () => lab.site(site).podman.podman('ps', '-a'),
    });
  });

  async function newestRelease(name: string): Promise<string> {
    const json = await lab.kubectl.run('get', 'application', name, '-n', 'test', '-o', 'json');
    return (JSON.parse(json) as { status: { release: string } }).status.release;
  }
});

describe('the hub killed in the middle of a rollout', requireTool(...labTools), () => {
  let lab: Lab;
  let image: string;
  const names = ['a', 'b'];

  before(async () => {
    ({ lab, image } = await startTestLab(names));
    await applyObjects(lab, [{ apiVersion: 'v1', kind: 'Namespace', metadata: { name: 'test' } }]);
    for (const name of names) await joinSite(lab, name, { port: lab.pagePorts[name] ?? 0 });
  });

  after(async () => {
    await lab?.close({ keepData: false });
  });

  test('after its start the rollout goes on where it was, and nothing is lost', async () => {
    const waves = [
      { name: 'canary', sites: 1, soak: '4s' },
      { name: 'all', percent: 100 },
    ];
    const parts = { name: 'page', port: '${site.variables.port}', strategy: { waves } };
    await applyObjects(lab, [applicationObject({ ...parts, container: pageContainer(image, 'one') })]);
    for (const name of names) {
      await waitDelivery(
        lab,
        { application: 'page', site: name },
        ({ status }) => status.state === 'Running',
      );
    }
    const prober = new PageProber(names.map((name) => lab.site(name)));
    try {
      await applyObjects(lab, [applicationObject({ ...parts, container: pageContainer(image, 'two') })]);
      await poll(
        async () => {
          const pages = await Promise.all(names.map((name) => lab.site(name).findPage()));
          return pages.some((page) => page?.edition === 'two') ? true : undefined;
        },
        { seconds: 60, what: 'the canary serves the new edition', everyMilliseconds: 50 },
      );
      await lab.hub.crash();
      await sleep(500);
      const editions = await Promise.all(
        names.map(async (name) => (await lab.site(name).findPage())?.edition),
      );
      assert.deepEqual(new Set(editions), new Set(['one', 'two']), 'the hub died between the waves');
      await lab.startHub();
      await poll(
        async () => {
          const pages = await Promise.all(names.map((name) => lab.site(name).findPage()));
          return pages.every((page) => page?.edition === 'two') ? true : undefined;
        },
        { seconds: 90, what: 'both serve the new edition', why: () => lab.hub.lastLines() },
      );
    } finally {
      await prober.stop();
    }
    assertAlwaysAnswered(await prober.stop());
    const json = await lab.kubectl.run('get', 'rollouts', '-n', 'test', '-o', 'json');
    const rollouts = (JSON.parse(json) as { items: { spec: { release: string } }[] }).items;
    assert.equal(rollouts.length, 2, 'no rollout was made twice');
  });
});

function listen(port: number): Promise<Server> {
  return new Promise((resolve, reject) => {
    const server = createServer((socket) => socket.destroy());
    server.once('error', reject);
    server.listen(port, '127.0.0.1', () => resolve(server));
  });
}
