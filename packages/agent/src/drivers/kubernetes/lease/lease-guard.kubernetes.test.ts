import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { type Lease, leases, namespaces, StatusError } from '@selvedge/api';
import { createLogger, systemClock } from '@selvedge/api/node';
import type { HttpClient } from '@selvedge/kube';
import { clusterKinds, ClusterUnderTest, FakeClock, requireCluster } from '@selvedge/testkit';
import { createKubeApi } from '../api/http-kube-api.ts';
import type { KubeApi } from '../api/kube-api.ts';
import { LeaseGuard, type Predecessor } from './lease-guard.ts';

const systemNamespace = 'selvedge-system';
const silent = createLogger({ level: 'silent' });

/** An API that can be cut off, with the number of requests that it was asked. */
class Cable {
  isCut = false;
  requests = 0;
  readonly api: KubeApi;

  constructor(api: KubeApi) {
    this.api = {
      json: (request) => {
        this.requests += 1;
        return this.isCut ? Promise.reject(new StatusError('ServiceUnavailable', 'cut')) : api.json(request);
      },
      lines: (request) => api.lines(request),
      findResource: (apiVersion, kind) => api.findResource(apiVersion, kind),
      version: () => api.version(),
      close: () => api.close(),
    };
  }
}

for (const kind of clusterKinds) {
  describe(`the Lease of a site, by ${kind}`, requireCluster(kind), () => {
    let cluster: ClusterUnderTest;
    let client: HttpClient;
    let api: KubeApi;
    before(async () => {
      cluster = await ClusterUnderTest.start(kind);
      client = cluster.client();
      api = createKubeApi({ access: cluster.access, clock: systemClock, logger: silent });
      await client.create(namespaces, {
        apiVersion: 'v1',
        kind: 'Namespace',
        metadata: { name: systemNamespace },
      });
    });
    after(async () => {
      api.close();
      await cluster.close();
    });

    let count = 0;
    const freshName = () => `selvedge-agent-${++count}`;
    const agent = (
      name: string,
      identity: string,
      {
        clock,
        predecessor,
        namespace = systemNamespace,
      }: { clock: FakeClock; predecessor?: Predecessor | undefined; namespace?: string },
    ) => {
      const cable = new Cable(api);
      const guard = new LeaseGuard({
        api: cable.api,
        namespace,
        name,
        identity,
        predecessor,
        clock,
        logger: silent,
        random: () => 1,
        monotonicMs: () => clock.now().getTime(),
      });
      const stop = new AbortController();
      guard.start(stop.signal);
      /** As after SIGKILL: nothing is given back. */
      return { guard, cable, kill: () => stop.abort('killed') };
    };
    /** Moves time on in steps, with time for true requests between. */
    const pass = async (seconds: number, clocks: FakeClock[], until = () => false): Promise<number> => {
      for (let second = 0; second < seconds; second += 1) {
        await systemClock.sleep(15);
        if (until()) return second;
        for (const clock of clocks) await clock.advance(1000);
      }
      await systemClock.sleep(50);
      return seconds;
    };
    const settle = async (holds: () => boolean): Promise<void> => {
      const endMs = performance.now() + 30_000;
      while (!holds() && performance.now() < endMs) await systemClock.sleep(10);
      assert.ok(holds());
    };
    const read = (name: string) => client.get<Lease>(leases, { namespace: systemNamespace, name });

    test('is held by one agent only; the other says by whom and since when, and asks little', async () => {
      const name = freshName();
      const [clockA, clockB] = [new FakeClock(), new FakeClock('2031-05-05T00:00:00Z')];
      const a = agent(name, 'a', { clock: clockA });
      await settle(() => a.guard.mayAct());
      const b = agent(name, 'b', { clock: clockB });
      await settle(() => b.guard.findOther() !== undefined);
      assert.equal(b.guard.mayAct(), false);
      assert.deepEqual(b.guard.findOther(), { identity: 'a', since: '2026-01-01T00:00:00.000000Z' });
      let wereBoth = false;
      const before = a.cable.requests;
      await pass(600, [clockA, clockB], () => {
        wereBoth ||= a.guard.mayAct() && b.guard.mayAct();
        return false;
      });
      assert.equal(wereBoth, false);
      assert.equal(
        a.guard.mayAct(),
        true,
        'ten minutes later it is still held, though the clocks are years apart',
      );
      assert.ok(a.cable.requests - before <= 31, `${a.cable.requests - before} requests in ten minutes`);
      a.kill();
      b.kill();
    });

    test('goes to the successor of a crashed agent after its duration, and at once when it was given back', async () => {
      const name = freshName();
      const clock = new FakeClock();
      const a = agent(name, 'a', { clock });
      await settle(() => a.guard.mayAct());
      const b = agent(name, 'b', { clock });
      await settle(() => b.guard.findOther() !== undefined);
      a.kill();
      const waited = await pass(200, [clock], () => b.guard.mayAct());
      assert.ok(waited > 40 && waited <= 90, `taken over after ${waited} s`);
      assert.equal(a.guard.mayAct(), false, 'who could not renew stopped before');
      assert.equal((await read(name)).spec?.leaseTransitions, 1);
      const c = agent(name, 'c', { clock });
      await settle(() => c.guard.findOther()?.identity === 'b');
      await b.guard.stop();
      assert.equal(b.guard.mayAct(), false);
      assert.ok((await pass(30, [clock], () => c.guard.mayAct())) <= 21);
      c.kill();
    });

    test('of an agent that is known to have ended by its other Lease is not waited for', async () => {
      const [state, site] = [freshName(), freshName()];
      const clock = new FakeClock();
      const old = [agent(state, 'old', { clock }), agent(site, 'old', { clock })];
      await settle(() => old.every(({ guard }) => guard.mayAct()));
      for (const { kill } of old) kill();
      const next = agent(state, 'next', { clock });
      await pass(200, [clock], () => next.guard.mayAct());
      assert.equal(next.guard.predecessor?.identity, 'old');
      const driver = agent(site, 'next', { clock: clock, predecessor: next.guard.predecessor });
      await settle(() => driver.guard.mayAct());

      const other = freshName();
      const alive = agent(other, 'old', { clock });
      await settle(() => alive.guard.mayAct());
      const hasty = agent(other, 'next', { clock: clock, predecessor: next.guard.predecessor });
      await settle(() => hasty.guard.findOther() !== undefined);
      assert.equal(hasty.guard.mayAct(), false, 'it was renewed after the other one had ended');
      for (const { kill } of [next, driver, alive, hasty]) kill();
    });

    test('goes on at once for the same agent after a restart', async () => {
      const name = freshName();
      const clock = new FakeClock();
      const first = agent(name, 'a', { clock });
      await settle(() => first.guard.mayAct());
      first.kill();
      const again = agent(name, 'a', { clock });
      await settle(() => again.guard.mayAct());
      assert.equal((await read(name)).spec?.leaseTransitions, 0);
      again.kill();
    });

    test('ends the right to write 40 s after the last renewal began, and comes back with the API', async () => {
      const name = freshName();
      const clock = new FakeClock();
      const a = agent(name, 'a', { clock });
      await settle(() => a.guard.mayAct());
      const heard: boolean[] = [];
      a.guard.onChange(() => heard.push(a.guard.mayAct()));
      a.cable.isCut = true;
      const lasted = await pass(60, [clock], () => !a.guard.mayAct());
      assert.ok(lasted >= 19 && lasted <= 41, `it lasted ${lasted} s`);
      assert.equal(a.guard.findOther(), undefined, 'nobody else has it');
      a.cable.isCut = false;
      await pass(10, [clock], () => a.guard.mayAct());
      assert.deepEqual(heard, [false, true]);
      a.kill();
    });

    test('taken away by hand is lost at the next renewal', async () => {
      const name = freshName();
      const clock = new FakeClock();
      const a = agent(name, 'a', { clock });
      await settle(() => a.guard.mayAct());
      const lease = await read(name);
      await client.update(leases, { ...lease, spec: { ...lease.spec, holderIdentity: 'person' } });
      await pass(25, [clock], () => !a.guard.mayAct());
      assert.equal(a.guard.mayAct(), false);
      assert.equal(a.guard.findOther()?.identity, 'person');
      await client.delete(leases, { namespace: systemNamespace, name });
      await pass(25, [clock], () => a.guard.mayAct());
      assert.equal(a.guard.mayAct(), true, 'a Lease that was deleted is free');
      a.kill();
    });

    test('makes its namespace where that is missing', async () => {
      const namespace = 'selvedge-edge';
      const a = agent(freshName(), 'a', { clock: new FakeClock(), namespace });
      await settle(() => a.guard.mayAct());
      assert.ok(await client.get(namespaces, { name: namespace }));
      a.kill();
    });
  });
}
