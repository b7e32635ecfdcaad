import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { canonicalJson, type MirrorOrder, type MirrorReport, StatusError } from '@selvedge/api';
import { mirrorOrderDigest, sha256Digest } from '@selvedge/api/node';
import { MemoryDriver } from '../testing/memory-driver.ts';
import { eventually, makeStateDir, startTestAgent } from '../testing/test-agent.ts';
import { TestHub } from '../testing/test-hub.ts';
import type { MirrorReader } from './mirror-reader.ts';

const uid = 'uid-till';
const order: MirrorOrder = {
  uid,
  namespaces: ['shop'],
  selector: {},
  kinds: [{ apiVersion: 'v1', kind: 'ConfigMap' }],
  secrets: [],
  settleSeconds: 1,
};

/** A cluster that has what a test says; at the border to it, so a fake is right here. */
class MemoryCluster implements MirrorReader {
  orders: readonly MirrorOrder[] = [];
  readonly #content = new Map<string, Uint8Array>();
  #said: Pick<MirrorReport, 'digest' | 'objects' | 'message'> | undefined;
  #listener = () => {};

  setOrders(orders: readonly MirrorOrder[]): void {
    this.orders = orders;
  }

  reports(): MirrorReport[] {
    const said = this.#said;
    if (said === undefined) return [];
    return this.orders.map((one) => ({
      uid: one.uid,
      order: mirrorOrderDigest(one),
      ...said,
      observedTime: '2026-01-01T00:00:00.000Z',
    }));
  }

  content(_uid: string, digest: string): Uint8Array | undefined {
    return this.#said?.digest === digest ? this.#content.get(digest) : undefined;
  }

  onChange(listener: () => void): void {
    this.#listener = listener;
  }

  has(...names: string[]): Uint8Array {
    const manifests = names.map((name) => ({ apiVersion: 'v1', kind: 'ConfigMap', metadata: { name } }));
    const bytes = Buffer.from(canonicalJson(manifests));
    this.#content.set(sha256Digest(bytes), bytes);
    this.#say({ digest: sha256Digest(bytes), objects: names.length });
    return bytes;
  }

  cannotBeRead(message: string): void {
    this.#say({ digest: '', objects: 0, message });
  }

  #say(said: Pick<MirrorReport, 'digest' | 'objects' | 'message'>): void {
    this.#said = said;
    this.#listener();
  }
}

async function orderMirror(hub: TestHub): Promise<void> {
  await eventually('the agent is enrolled', () => hub.requests.length > 0);
  hub.policy = { ...hub.policy, mirrors: [order] };
  hub.epoch += 1;
  hub.publish();
}

describe('what a site gives to others', () => {
  test('reaches the hub when it asks for it, again when it changed, and by a hub that forgot it', async () => {
    await using dir = await makeStateDir();
    await using hub = await TestHub.start();
    const cluster = new MemoryCluster();
    const start = () =>
      startTestAgent({
        stateDir: dir.path,
        token: hub.token(),
        driver: new MemoryDriver({ mirror: cluster }),
      });
    {
      await using _agent = start();
      await orderMirror(hub);
      await eventually('the order is there', () => cluster.orders.length === 1);
      const first = cluster.has('one');
      await eventually('the hub has it', () => hub.mirrors.content.get(uid)?.equals(first) === true);
      assert.equal(hub.mirrors.reports.get(uid)?.order, mirrorOrderDigest(order));

      const second = cluster.has('one', 'two');
      await eventually('the hub has the change', () => hub.mirrors.content.get(uid)?.equals(second) === true);
      cluster.cannotBeRead('no permission');
      await eventually('the fault is told', () => hub.mirrors.reports.get(uid)?.message === 'no permission');
      assert.ok(hub.mirrors.content.get(uid)?.equals(second));

      const third = cluster.has('three');
      await eventually('it is well again', () => hub.mirrors.content.get(uid)?.equals(third) === true);
      hub.mirrors.content.clear();
      hub.mirrors.reports.clear();
      hub.instance = 'restored';
      hub.publish();
      await eventually(
        'the hub that forgot has it',
        () => hub.mirrors.content.get(uid)?.equals(third) === true,
      );
    }
    hub.mirrors.reports.clear();
    const asked = hub.requests.length;
    cluster.orders = [];
    await using _agent = start();
    await eventually('it is told after a restart, from this disk', () => hub.mirrors.reports.has(uid));
    // The hub has it already: it is not sent again.
    await eventually('more was said', () => hub.requests.length > asked + 1);
    assert.equal(hub.requests.slice(asked).filter(({ mirrors }) => mirrors !== undefined).length, 1);
  });

  test('is sent again until the hub takes it, told anew when the hub expects something else, and not forced on it', async () => {
    await using dir = await makeStateDir();
    await using hub = await TestHub.start();
    const cluster = new MemoryCluster();
    const driver = new MemoryDriver({ mirror: cluster });
    await using _agent = startTestAgent({ stateDir: dir.path, token: hub.token(), driver });
    await orderMirror(hub);
    await eventually('the order is there', () => cluster.orders.length === 1);
    const refusals = [
      new StatusError('ServiceUnavailable', 'a moment'),
      new StatusError('Conflict', 'another one is expected'),
    ];
    let tries = 0;
    hub.mirrors.refuse = () => {
      tries += 1;
      return refusals.shift();
    };
    const told = () => hub.requests.filter(({ mirrors }) => mirrors !== undefined).length;
    const bytes = cluster.has('one');
    await eventually('the hub has it', () => hub.mirrors.content.get(uid)?.equals(bytes) === true);
    assert.equal(tries, 3);
    assert.equal(told(), 2);

    hub.mirrors.refuse = () => new StatusError('BadRequest', 'not asked for');
    cluster.has('two');
    await eventually('it is told', () => told() === 3);
    const asked = hub.requests.length;
    hub.publish();
    await eventually('the agent goes on', () => hub.requests.length > asked);
    assert.equal(told(), 3);
    assert.ok(hub.mirrors.content.get(uid)?.equals(bytes));
  });

  test('is said not to be there by a site without a cluster', async () => {
    await using dir = await makeStateDir();
    await using hub = await TestHub.start();
    await using _agent = startTestAgent({ stateDir: dir.path, token: hub.token() });
    await orderMirror(hub);
    await eventually('the hub knows', () =>
      /no Kubernetes cluster/.test(hub.mirrors.reports.get(uid)?.message ?? ''),
    );
    assert.equal(hub.mirrors.reports.get(uid)?.digest, '');
  });
});
