import assert from 'node:assert/strict';
import { setTimeout as sleep } from 'node:timers/promises';
import { after, before, describe, test } from 'node:test';
import { type ApplyRules, type Clock, type KubeObject, namespaces, type ResourceRef } from '@selvedge/api';
import { createLogger, systemClock } from '@selvedge/api/node';
import type { HttpClient } from '@selvedge/kube';
import {
  accessBy,
  clusterKinds,
  ClusterUnderTest,
  FaultProxy,
  requireCluster,
  SimulatedWorkloads,
} from '@selvedge/testkit';
import { createKubeApi } from '../api/http-kube-api.ts';
import type { KubeApi } from '../api/kube-api.ts';
import type { PlannedObject } from '../release/planned-object.ts';
import { createObserver } from './create-observer.ts';
import type { ItemObservation, ObservedObject, Observer } from './observer.ts';

const namespace = 'shop';
const label = 'applyset.kubernetes.io/part-of';
const quiet = createLogger({ level: 'silent' });
/** Ten times as fast as time: what waits half a minute has an answer in three seconds. */
const fastClock: Clock = {
  now: () => new Date(systemClock.now().getTime() * 10),
  sleep: (milliseconds, signal) => systemClock.sleep(milliseconds / 10, signal),
};
const resources: Record<string, ResourceRef> = {
  ConfigMap: { group: '', version: 'v1', plural: 'configmaps', kind: 'ConfigMap', namespaced: true },
  Deployment: { group: 'apps', version: 'v1', plural: 'deployments', kind: 'Deployment', namespaced: true },
  CustomResourceDefinition: {
    group: 'apiextensions.k8s.io',
    version: 'v1',
    plural: 'customresourcedefinitions',
    kind: 'CustomResourceDefinition',
    namespaced: false,
  },
  Widget: { group: 'example.com', version: 'v1', plural: 'widgets', kind: 'Widget', namespaced: true },
};
const resourceOf = (object: { kind: string }): ResourceRef => {
  const found = resources[object.kind];
  assert.ok(found);
  return found;
};

function configMap(name: string, data: Record<string, string>): KubeObject {
  return {
    apiVersion: 'v1',
    kind: 'ConfigMap',
    metadata: { name, namespace, labels: { [label]: 'ours' } },
    data,
  };
}

function deployment(name: string, image: string, replicas = 1): KubeObject {
  const labels = { app: name };
  return {
    apiVersion: 'apps/v1',
    kind: 'Deployment',
    metadata: { name, namespace, labels: { [label]: 'ours' } },
    spec: {
      replicas,
      selector: { matchLabels: labels },
      template: { metadata: { labels }, spec: { containers: [{ name: 'main', image }] } },
    },
  };
}

const plan = (object: KubeObject): PlannedObject => ({
  ref: {
    apiVersion: object.apiVersion,
    kind: object.kind,
    name: object.metadata.name,
    ...(object.metadata.namespace === undefined ? {} : { namespace: object.metadata.namespace }),
  },
  object,
});

/** An observer at work, with what a test needs to wait for it. */
class ObserverUnderTest {
  readonly observer: Observer;
  readonly #api: KubeApi;
  readonly #stop = new AbortController();
  readonly #done: Promise<void>;

  constructor(api: KubeApi) {
    this.#api = api;
    this.observer = createObserver({ api, clock: fastClock, logger: quiet });
    this.#done = this.observer.run(this.#stop.signal);
  }

  track(objects: readonly KubeObject[], rules: ApplyRules = {}): void {
    this.observer.track([{ uid: 'u', namespace, objects: objects.map(plan), rules }]);
  }

  async until(
    what: string,
    isRight: (first: ObservedObject, all: ItemObservation) => boolean,
  ): Promise<ObservedObject> {
    let seen: ItemObservation | undefined;
    for (let tries = 0; tries < 600; tries++) {
      seen = this.observer.find('u');
      const first = seen?.objects[0];
      if (seen && first && isRight(first, seen)) return first;
      await sleep(100);
    }
    throw new Error(`waited in vain until ${what}; seen: ${JSON.stringify(seen)}`);
  }

  async close(): Promise<void> {
    this.#stop.abort();
    await this.#done;
    this.#api.close();
  }
}

for (const kind of clusterKinds) {
  describe(`an observer of ${kind}`, requireCluster(kind), () => {
    let cluster: ClusterUnderTest;
    let client: HttpClient;
    let workloads: SimulatedWorkloads;
    const open: ObserverUnderTest[] = [];

    before(async () => {
      cluster = await ClusterUnderTest.start(kind);
      client = cluster.client();
      workloads = await SimulatedWorkloads.start(cluster, { nodes: [{ name: 'node-1' }] });
      await client.create(namespaces, { apiVersion: 'v1', kind: 'Namespace', metadata: { name: namespace } });
    });
    after(async () => {
      for (const observed of open) await observed.close();
      await workloads?.close();
      await cluster?.close();
    });

    const observe = (access = cluster.access): ObserverUnderTest => {
      const observed = new ObserverUnderTest(createKubeApi({ access, clock: systemClock, logger: quiet }));
      open.push(observed);
      return observed;
    };
    const apply = (object: KubeObject, fieldManager = 'selvedge') =>
      client.apply(resourceOf(object), object, { fieldManager, force: true });
    const remove = (object: KubeObject) =>
      client.delete(resourceOf(object), { name: object.metadata.name, namespace });

    test('sees a workload become healthy, and what is not there', async () => {
      const objects = [deployment('web', 'example/web', 2), configMap('absent', {})];
      const observed = observe();
      await apply(objects[0] as KubeObject);
      observed.track(objects);
      assert.equal(observed.observer.lastLook(), undefined);
      await observed.until('it runs', ({ health }, { objects: [, absent], pods }) => {
        return (
          health.status === 'Current' && absent?.exists === false && pods.ready === 2 && pods.wanted === 2
        );
      });
      assert.ok(observed.observer.lastLook());
    });

    test('tells what others changed, and forgets it when it was put back', async () => {
      const object = configMap('changed', { a: '1', b: '2' });
      await apply(object);
      const observed = observe();
      observed.track([object]);
      await observed.until('it is as planned', ({ exists, drift }) => exists && drift.length === 0);
      await apply(configMap('changed', { a: 'other' }), 'somebody');
      await observed.until('a has drifted', ({ drift }) => drift.join() === '/data/a');
      await apply(object);
      await observed.until('it is put back', ({ drift }) => drift.length === 0);
      await remove(object);
      await observed.until('it is gone', ({ exists }) => !exists);
    });

    test('does not lose sight of an object whose label somebody took away', async () => {
      const object = configMap('unlabelled', { a: '1' });
      await apply(object);
      const observed = observe();
      observed.track([object]);
      await observed.until('it is as planned', ({ exists, drift }) => exists && drift.length === 0);
      await client.mergePatch(
        resourceOf(object),
        { name: object.metadata.name, namespace },
        {
          metadata: { labels: { [label]: null } },
        },
      );
      const seen = await observed.until('the label is missed', ({ drift }) => drift.length > 0);
      assert.equal(seen.exists, true);
      assert.match(seen.drift.join(), /^\/metadata\/labels/);
    });

    test('does not answer for what was applied before it has looked', async () => {
      const object = configMap('again', { a: '1' });
      await apply(object);
      const observed = observe();
      observed.track([object]);
      await observed.until('it is known', ({ exists }) => exists);
      observed.observer.invalidate('u');
      assert.equal(observed.observer.find('u'), undefined);
      await observed.until('it is known again', ({ exists }) => exists);
      observed.track([configMap('again', { a: '2' })]);
      assert.equal(observed.observer.find('u'), undefined, 'another plan has to be judged anew');
      await observed.until('it is not as planned', ({ exists }) => exists);
    });

    test('names the crash loop behind a workload, with its last words', async () => {
      const object = deployment('crash', 'example/crash');
      await apply(object);
      const observed = observe();
      observed.track([object]);
      const { problem } = await observed.until(
        'the problem is found',
        (seen) => seen.problem?.reason === 'CrashLoopBackOff',
      );
      assert.match(problem?.message ?? '', /^pod crash-.*container main/);
      assert.ok((problem?.logs?.length ?? 0) > 0);
      await remove(object);
    });

    test('says what it may not read, and reads it as soon as it may', async () => {
      const object = configMap('secretive', { a: '1' });
      await apply(object);
      const user = { name: 'weak-agent' };
      const observed = observe(await cluster.accessFor(user));
      observed.track([object]);
      const seen = await observed.until('it is forbidden', ({ health }) => health.reason === 'Forbidden');
      assert.equal(seen.exists, true);
      assert.ok(observed.observer.lastLook(), 'a refusal is an answer');
      await client.create(
        {
          group: 'rbac.authorization.k8s.io',
          version: 'v1',
          plural: 'clusterrolebindings',
          kind: 'ClusterRoleBinding',
          namespaced: false,
        },
        {
          apiVersion: 'rbac.authorization.k8s.io/v1',
          kind: 'ClusterRoleBinding',
          metadata: { name: 'weak-agent' },
          roleRef: { apiGroup: 'rbac.authorization.k8s.io', kind: 'ClusterRole', name: 'cluster-admin' },
          subjects: [{ apiGroup: 'rbac.authorization.k8s.io', kind: 'User', name: user.name }],
        },
      );
      await observed.until('it may be read', ({ health }) => health.status === 'Current');
    });

    test('knows nothing while the API is away, and all that happened meanwhile afterwards', async () => {
      const object = configMap('patient', { a: '1' });
      await apply(object);
      const proxy = await FaultProxy.start(cluster);
      try {
        const authorization = (await cluster.access.authorization())?.replace('Bearer ', '') ?? '';
        const observed = observe(accessBy({ server: proxy.url, ca: proxy.ca }, { token: authorization }));
        observed.track([object]);
        await observed.until('it is known', ({ exists }) => exists);
        proxy.cut();
        for (let tries = 0; observed.observer.lastLook() !== undefined; tries++) {
          assert.ok(tries < 600, 'the API is away and nobody noticed');
          await sleep(100);
        }
        await remove(object);
        proxy.restore();
        await observed.until('it is gone', ({ exists }) => !exists);
        assert.ok(observed.observer.lastLook());
      } finally {
        await proxy.close();
      }
    });

    test('a kind that cannot be read stops neither time nor what is known of others', async () => {
      const [map, workload] = [configMap('steady', { a: '1' }), deployment('broken', 'example/web:1', 0)];
      await apply(map);
      await apply(workload);
      const proxy = await FaultProxy.start(cluster);
      try {
        // As when the conversion webhook of a definition is down.
        proxy.setRule(({ path }) => (path.includes('/deployments') ? { answer: 500 } : undefined));
        const authorization = (await cluster.access.authorization())?.replace('Bearer ', '') ?? '';
        const observed = observe(accessBy({ server: proxy.url, ca: proxy.ca }, { token: authorization }));
        const began = fastClock.now();
        observed.observer.track([
          { uid: 'u', namespace, objects: [plan(workload)], rules: {} },
          { uid: 'other', namespace, objects: [plan(map)], rules: {} },
        ]);
        const { health } = await observed.until(
          'it is said',
          ({ health: { reason } }) => reason !== undefined,
        );
        assert.equal(health.reason, 'Unreadable');
        assert.equal(observed.observer.find('other')?.objects[0]?.health.status, 'Current');
        const last = observed.observer.lastLook();
        assert.ok(last !== undefined && last > began);
        proxy.setRule(() => undefined);
        await observed.until('it can be read', ({ health: { reason } }) => reason !== 'Unreadable');
      } finally {
        await proxy.close();
      }
    });

    test('judges an object that two items name by the rules of each', async () => {
      const shared = configMap('shared', { owner: 'one' });
      await apply(shared);
      const observed = observe();
      const ruleOf = (owner: string): ApplyRules => ({
        health: [{ apiVersion: 'v1', kind: 'ConfigMap', current: `self.data.owner == '${owner}'` }],
      });
      observed.observer.track([
        { uid: 'u', namespace, objects: [plan(shared)], rules: ruleOf('one') },
        { uid: 'two', namespace, objects: [plan(shared)], rules: ruleOf('two') },
      ]);
      await observed.until('it is as the one wants it', ({ health }) => health.status === 'Current');
      for (let tries = 0; observed.observer.find('two') === undefined; tries++) {
        assert.ok(tries < 600);
        await sleep(100);
      }
      assert.equal(observed.observer.find('two')?.objects[0]?.health.status, 'InProgress');
    });

    test('sees that a kind is gone, with all its objects', async (t) => {
      if (!cluster.supports.customResourceDefinitions) return t.skip('it has no CustomResourceDefinitions');
      const schema = { type: 'object', 'x-kubernetes-preserve-unknown-fields': true };
      const definition: KubeObject = {
        apiVersion: 'apiextensions.k8s.io/v1',
        kind: 'CustomResourceDefinition',
        metadata: { name: 'widgets.example.com' },
        spec: {
          group: 'example.com',
          names: { plural: 'widgets', kind: 'Widget', singular: 'widget', listKind: 'WidgetList' },
          scope: 'Namespaced',
          versions: [
            {
              name: 'v1',
              served: true,
              storage: true,
              schema: { openAPIV3Schema: schema },
              subresources: { status: {} },
            },
          ],
        },
      };
      const widget: KubeObject = {
        apiVersion: 'example.com/v1',
        kind: 'Widget',
        metadata: { name: 'w', namespace, labels: { [label]: 'ours' } },
        spec: { a: 1 },
      };
      const observed = observe();
      observed.track([widget], {
        health: [{ apiVersion: 'example.com/v1', kind: 'Widget', current: "self.status.phase == 'Done'" }],
      });
      await observed.until('the kind is not there', ({ exists }) => !exists);
      await apply(definition);
      for (let tries = 0; ; tries++) {
        try {
          await apply(widget);
          break;
        } catch (error) {
          if (tries > 300) throw error;
          await sleep(100);
        }
      }
      observed.observer.invalidate('u');
      await observed.until('its rule has no answer', ({ health }) => health.reason === 'HealthRuleError');
      await client.delete(resourceOf(definition), { name: definition.metadata.name });
      await observed.until('it is gone with its kind', ({ exists }) => !exists);
    });
  });
}
