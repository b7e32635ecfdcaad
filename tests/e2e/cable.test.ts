import assert from 'node:assert/strict';
import { networkInterfaces } from 'node:os';
import { after, before, describe, test } from 'node:test';
import type { Delivery, Site } from '@selvedge/api';
import { sites } from '@selvedge/api';
import { requireTool } from '@selvedge/testkit';
import type { HubNetwork } from '../../quickstart/lab/hub-program.ts';
import type { Lab } from '../../quickstart/lab/lab.ts';
import { poll } from '../../quickstart/lab/poll.ts';
import { runProgram } from '../../quickstart/lab/run-program.ts';
import {
  applicationObject,
  applyObjects,
  joinSite,
  labTools,
  pageContainer,
  startTestLab,
  waitDelivery,
} from './test-lab.ts';

/** A network namespace for the hub, with one cable for each site and one for us. */
class HubNamespace {
  readonly network: HubNetwork;
  readonly #name: string;
  readonly #prefix: string;
  readonly #siteNames: readonly string[];
  readonly #subnet: string;

  constructor(siteNames: readonly string[]) {
    const id = process.pid.toString(36);
    this.#name = `svg-${id}`;
    this.#prefix = `sv${id}`;
    this.#siteNames = siteNames;
    this.#subnet = freeSubnet();
    this.network = {
      namespace: `/run/netns/${this.#name}`,
      address: this.#hubAddress(0),
      siteAddresses: Object.fromEntries(siteNames.map((site, index) => [site, this.#hubAddress(index + 1)])),
    };
  }

  async create(): Promise<void> {
    await ip('netns', 'add', this.#name);
    await ip('-n', this.#name, 'link', 'set', 'lo', 'up');
    for (let cable = 0; cable <= this.#siteNames.length; cable++) {
      const [near, far] = [`${this.#prefix}n${cable}`, `${this.#prefix}f${cable}`];
      await ip('link', 'add', near, 'type', 'veth', 'peer', 'name', far, 'netns', this.#name);
      await ip('addr', 'add', `${this.#subnet}.${cable * 4 + 1}/30`, 'dev', near);
      await ip('-n', this.#name, 'addr', 'add', `${this.#hubAddress(cable)}/30`, 'dev', far);
      await ip('link', 'set', near, 'up');
      await ip('-n', this.#name, 'link', 'set', far, 'up');
    }
  }

  async cut(site: string): Promise<void> {
    await ip('link', 'set', this.#cableOf(site), 'down');
  }

  async join(site: string): Promise<void> {
    await ip('link', 'set', this.#cableOf(site), 'up');
  }

  async remove(): Promise<void> {
    // The namespace lives on where others see its mount, as containers that were started meanwhile do.
    for (let cable = 0; cable <= this.#siteNames.length; cable++) {
      await ip('link', 'delete', `${this.#prefix}n${cable}`).catch(() => undefined);
    }
    await ip('netns', 'delete', this.#name);
  }

  #cableOf(site: string): string {
    return `${this.#prefix}n${this.#siteNames.indexOf(site) + 1}`;
  }

  #hubAddress(cable: number): string {
    return `${this.#subnet}.${cable * 4 + 2}`;
  }
}

/** Of the second half of the block for benchmarks (RFC 2544), which no machine has as its own; the first half is for labs with racks. A run that was killed leaves its cables behind. */
function freeSubnet(): string {
  const taken = Object.values(networkInterfaces()).flatMap((found = []) =>
    found.map(({ address }) => address),
  );
  for (let tried = 0; tried < 256; tried += 1) {
    const subnet = `198.19.${(process.pid + tried) % 256}`;
    if (!taken.some((address) => address.startsWith(`${subnet}.`))) return subnet;
  }
  throw new Error('cables of earlier runs have all subnets of 198.19.0.0/16');
}

async function ip(...args: readonly string[]): Promise<void> {
  await runProgram(['ip', ...args]);
}

describe('a cable is pulled out', requireTool(...labTools, 'root', 'ip', 'nsenter', 'netns'), () => {
  const names = ['cloud', 'shop'];
  const namespace = new HubNamespace(names);
  let lab: Lab;
  let image: string;

  before(async () => {
    await namespace.create();
    ({ lab, image } = await startTestLab(names, { hubNetwork: namespace.network }));
    await applyObjects(lab, [{ apiVersion: 'v1', kind: 'Namespace', metadata: { name: 'test' } }]);
    for (const name of names) await joinSite(lab, name, { port: lab.pagePorts[name] ?? 0 });
  });

  after(async () => {
    await lab?.close({ keepData: false });
    await namespace.remove();
  });

  test('the shop serves on, is Away and not failed, and catches up when the cable is back', async () => {
    const parts = { name: 'page', port: '${site.variables.port}' };
    const which = (site: string) => ({ application: 'page', site });
    const isRunning = ({ spec, status }: Delivery) =>
      status.state === 'Running' && status.runningRelease === spec.release;
    const serves = (site: string, edition: string) =>
      poll(async () => ((await lab.site(site).findPage())?.edition === edition ? true : undefined), {
        seconds: 60,
        what: `${site} serves edition ${edition}`,
        why: () => lab.site(site).agentLog(),
      });
    await applyObjects(lab, [applicationObject({ ...parts, container: pageContainer(image, 'one') })]);
    for (const name of names) await waitDelivery(lab, which(name), isRunning);

    await namespace.cut('shop');
    await poll(
      async () => {
        const site = await lab.client.get<Site>(sites, { name: 'shop' });
        return site.status?.connectivity === 'Away' ? true : undefined;
      },
      { seconds: 90, what: 'the shop is Away', why: () => lab.kubectl.run('get', 'sites') },
    );
    await applyObjects(lab, [applicationObject({ ...parts, container: pageContainer(image, 'two') })]);
    await serves('cloud', 'two');
    await waitDelivery(lab, which('cloud'), isRunning);
    const away = await waitDelivery(lab, which('shop'), ({ status }) => status.connectivity === 'Away');
    assert.notEqual(away.status.state, 'Failed');
    assert.equal((await lab.site('shop').findPage())?.edition, 'one');

    await namespace.join('shop');
    const started = performance.now();
    await serves('shop', 'two');
    await waitDelivery(lab, which('shop'), isRunning);
    assert.ok(performance.now() - started < 60_000);
  });
});
