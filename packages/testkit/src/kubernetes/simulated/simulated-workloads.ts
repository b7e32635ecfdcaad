import {
  configMaps,
  isNotFound,
  type KubeObject,
  namespaces,
  type ResourceRef,
  secrets,
} from '@selvedge/api';
import { createLogger, systemClock } from '@selvedge/api/node';
import {
  createInformer,
  type Informer,
  keyOfName,
  keysFromInformer,
  nameOfKey,
  type ReconcileResult,
  runController,
} from '@selvedge/kube';
import type { ClusterUnderTest } from '../cluster-under-test.ts';
import { GarbageCollector, reconcileNamespace } from './cluster-upkeep.ts';
import { reconcileDaemonSet } from './daemon-set-controller.ts';
import { reconcileDeployment } from './deployment-controller.ts';
import { reconcileJob } from './job-controller.ts';
import { NodeContainers } from './node-containers.ts';
import { reconcilePod } from './pod-controller.ts';
import { reconcileReplicaSet } from './replica-set-controller.ts';
import { type KubeletServer, startKubeletServer } from './kubelet-server.ts';
import { patchStatus, type Simulation } from './simulation.ts';
import { reconcileStatefulSet } from './stateful-set-controller.ts';
import type { Node, Pod, Workload } from './workload-objects.ts';
import * as resources from './workload-resources.ts';

export interface SimulatedNode {
  readonly name: string;
  readonly labels?: Readonly<Record<string, string>>;
  readonly taints?: readonly { key: string; value?: string; effect: string }[];
  /** Default: 8 cpu, 32Gi memory, 110 pods. */
  readonly allocatable?: Readonly<Record<string, string>>;
  readonly isReady?: boolean;
}

/**
 * What makes a cluster out of an API: the controllers of the workloads, a scheduler, kubelets, and where the API does not do it itself
 * garbage collection and the end of namespaces. True calls over true sockets; what containers do is scripted, or is done by true processes (`pod-script.ts`). Shapes and
 * order of what is written are those of pkg/controller, pkg/kubelet and pkg/scheduler of Kubernetes 1.36.
 */
export class SimulatedWorkloads {
  readonly #simulation: Simulation;
  readonly #kubelet: KubeletServer;
  readonly #abort: AbortController;
  readonly #running: Promise<void>[] = [];

  private constructor(simulation: Simulation, kubelet: KubeletServer, abort: AbortController) {
    this.#simulation = simulation;
    this.#kubelet = kubelet;
    this.#abort = abort;
  }

  /** With these nodes; absent: one without labels. */
  static async start(
    cluster: ClusterUnderTest,
    { nodes = [{ name: 'node-1' }] }: { nodes?: readonly SimulatedNode[] } = {},
  ): Promise<SimulatedWorkloads> {
    const abort = new AbortController();
    const client = cluster.client();
    const logger = createLogger({ level: (process.env['LOG_LEVEL'] as 'silent') ?? 'silent' });
    const informer = <T extends KubeObject>(resource: ResourceRef): Informer<T> =>
      createInformer<T>({ client, resource, clock: systemClock, logger });
    const simulation: Simulation = {
      client,
      clock: systemClock,
      logger,
      signal: abort.signal,
      isReal: !cluster.supports.collectsGarbage,
      pods: informer<Pod>(resources.pods),
      nodes: informer<Node>(resources.nodes),
      replicaSets: informer<Workload>(resources.replicaSets),
      containers: new NodeContainers(systemClock),
    };
    const kubelet = await startKubeletServer(simulation);
    const workloads = new SimulatedWorkloads(simulation, kubelet, abort);
    for (const node of nodes) await workloads.setNode(node);
    workloads.#runAll(informer);
    await Promise.all([simulation.pods.synced, simulation.nodes.synced, simulation.replicaSets.synced]);
    return workloads;
  }

  /** Makes the node, or makes it so. */
  async setNode(node: SimulatedNode): Promise<void> {
    const { client, clock } = this.#simulation;
    const { name, labels = {}, taints = [], isReady = true } = node;
    const amounts = {
      cpu: '8',
      memory: '32Gi',
      'ephemeral-storage': '100Gi',
      pods: '110',
      ...node.allocatable,
    };
    const object: KubeObject = {
      apiVersion: 'v1',
      kind: 'Node',
      metadata: { name, labels: { 'kubernetes.io/hostname': name, 'kubernetes.io/os': 'linux', ...labels } },
      spec: { taints: [...taints] },
    };
    const before = await client.find(resources.nodes, { name });
    if (!before) await client.create(resources.nodes, object);
    // Also of a new one: admission taints it `not-ready`, which the node controller takes away.
    await client.mergePatch(resources.nodes, { name }, { metadata: { labels }, spec: { taints } });
    const time = clock
      .now()
      .toISOString()
      .replace(/\.\d+Z$/, 'Z');
    const ready = isReady
      ? { status: 'True', reason: 'KubeletReady', message: 'kubelet is posting ready status' }
      : { status: 'Unknown', reason: 'NodeStatusUnknown', message: 'Kubelet stopped posting node status.' };
    await client.mergePatch(
      resources.nodes,
      { name },
      {
        status: {
          capacity: amounts,
          allocatable: amounts,
          conditions: [{ type: 'Ready', ...ready, lastHeartbeatTime: time, lastTransitionTime: time }],
          addresses: [{ type: 'InternalIP', address: '127.0.0.1' }],
          daemonEndpoints: { kubeletEndpoint: { Port: this.#kubelet.port } },
          nodeInfo: {
            architecture: 'amd64',
            bootID: 'boot',
            containerRuntimeVersion: 'containerd://2.1.0',
            kernelVersion: '6.1.0',
            kubeProxyVersion: '',
            kubeletVersion: 'v1.36.0',
            machineID: 'machine',
            operatingSystem: 'linux',
            osImage: 'Simulated',
            systemUUID: 'system',
          },
        },
      },
      { subresource: 'status' },
    );
  }

  /** Ends all controllers, as when the control plane's node is off; what is in the API stays. */
  async close(): Promise<void> {
    this.#abort.abort();
    await Promise.all(this.#running);
    await this.#kubelet.close();
    await this.#simulation.containers.close();
  }

  #runAll(informer: <T extends KubeObject>(resource: ResourceRef) => Informer<T>): void {
    const { pods, nodes, replicaSets, isReal } = this.#simulation;
    const podOwners = (pod: Pod, kind: string) =>
      (pod.metadata.ownerReferences ?? [])
        .filter((owner) => owner.kind === kind)
        .map(({ name }) => keyOfName({ namespace: pod.metadata.namespace ?? '', name }));
    const wokenByPods = (kind: string) => keysFromInformer(pods, (pod) => podOwners(pod, kind));
    const s = this.#simulation;
    this.#keep(pods);
    this.#keep(nodes);
    this.#keep(replicaSets);
    this.#control(pods, (pod) => reconcilePod(s, pod));
    this.#control(replicaSets, (set) => reconcileReplicaSet(s, set), [wokenByPods('ReplicaSet')]);
    const owners = keysFromInformer(replicaSets, (set) =>
      (set.metadata.ownerReferences ?? []).map(({ name }) =>
        keyOfName({ namespace: set.metadata.namespace ?? '', name }),
      ),
    );
    this.#control(this.#kept(informer<Workload>(resources.deployments)), (d) => reconcileDeployment(s, d), [
      owners,
    ]);
    this.#control(
      this.#kept(informer<Workload>(resources.statefulSets)),
      (set) => reconcileStatefulSet(s, set),
      [wokenByPods('StatefulSet')],
    );
    const daemonSets = this.#kept(informer<Workload>(resources.daemonSets));
    const allDaemonSets = keysFromInformer(nodes, () =>
      daemonSets.list().map(({ metadata: { namespace = '', name } }) => keyOfName({ namespace, name })),
    );
    this.#control(daemonSets, (set) => reconcileDaemonSet(s, set), [wokenByPods('DaemonSet'), allDaemonSets]);
    this.#control(this.#kept(informer<Workload>(resources.jobs)), (job) => reconcileJob(s, job), [
      wokenByPods('Job'),
    ]);
    this.#control(this.#kept(informer<KubeObject>(resources.persistentVolumeClaims)), (claim) =>
      bindClaim(s, claim),
    );
    this.#control(this.#kept(informer<KubeObject>(resources.podDisruptionBudgets)), (budget) =>
      countBudget(s, budget),
    );
    if (isReal) {
      this.#control(this.#kept(informer<KubeObject>(namespaces)), (namespace) =>
        reconcileNamespace(s, namespace),
      );
      this.#running.push(this.#collectGarbage());
    }
  }

  #kept<T extends KubeObject>(informer: Informer<T>): Informer<T> {
    this.#keep(informer);
    return informer;
  }

  #keep(informer: Informer): void {
    this.#running.push(informer.run(this.#abort.signal));
  }

  #control<T extends KubeObject>(
    informer: Informer<T>,
    reconcile: (object: T) => Promise<ReconcileResult>,
    more: readonly ReturnType<typeof keysFromInformer>[] = [],
  ): void {
    const { clock, logger, signal } = this.#simulation;
    const run = runController({
      name: informer.resource.plural,
      sources: [keysFromInformer(informer), ...more],
      reconcile: async (key) => {
        const name = nameOfKey(key);
        // Read anew: what an informer knows is a little old, and these controllers keep no expectations.
        const object = await this.#simulation.client.find<T>(informer.resource, name);
        if (!object) return 'done';
        try {
          return await reconcile(object);
        } catch (error) {
          if (isNotFound(error)) return 'done';
          throw error;
        }
      },
      concurrency: 4,
      clock,
      logger,
      signal,
    });
    this.#running.push(run);
  }

  /** Looks at what can have owners, again and again: a graph would be quicker, and one more thing to get wrong. */
  async #collectGarbage(): Promise<void> {
    const { client, clock, signal } = this.#simulation;
    const collector = new GarbageCollector(this.#simulation);
    const kinds = [
      resources.deployments,
      resources.statefulSets,
      resources.daemonSets,
      resources.jobs,
      resources.replicaSets,
      resources.pods,
      configMaps,
      secrets,
    ];
    while (!signal.aborted) {
      for (const resource of kinds) {
        const { items } = await client.list(resource).catch(() => ({ items: [] as KubeObject[] }));
        for (const object of items) await collector.collect(resource, object).catch(() => undefined);
      }
      await clock.sleep(300, signal).catch(() => undefined);
    }
  }
}

/** pkg/controller/volume/persistentvolume; a class called `missing` has no provisioner. */
async function bindClaim(simulation: Simulation, claim: KubeObject): Promise<ReconcileResult> {
  if (claim.metadata.deletionTimestamp !== undefined) return releaseClaim(simulation, claim);
  const { storageClassName, resources: wanted } = claim['spec'] as {
    storageClassName?: string;
    resources?: { requests?: Record<string, string> };
  };
  const isBound = storageClassName !== 'missing';
  await patchStatus(simulation, [resources.persistentVolumeClaims, claim], {
    phase: isBound ? 'Bound' : 'Pending',
    ...(isBound ? { capacity: { storage: wanted?.requests?.['storage'] ?? '1Gi' } } : {}),
  });
  return 'done';
}

/** pkg/controller/volume/pvcprotection: it goes when no pod uses it any more. */
async function releaseClaim({ client, pods }: Simulation, claim: KubeObject): Promise<ReconcileResult> {
  const { name, namespace = '', finalizers = [] } = claim.metadata;
  const isUsed = pods.list(namespace).some((pod) => {
    const { volumes = [] } = pod.spec as { volumes?: { persistentVolumeClaim?: { claimName: string } }[] };
    return volumes.some(({ persistentVolumeClaim }) => persistentVolumeClaim?.claimName === name);
  });
  if (isUsed) return { requeueAfterSeconds: 0.3 };
  const rest = finalizers.filter((finalizer) => finalizer !== 'kubernetes.io/pvc-protection');
  if (rest.length < finalizers.length) {
    await client.mergePatch(
      resources.persistentVolumeClaims,
      { namespace, name },
      { metadata: { finalizers: rest } },
    );
  }
  return 'done';
}

/** pkg/controller/disruption. */
async function countBudget(simulation: Simulation, budget: KubeObject): Promise<ReconcileResult> {
  const { selector } = budget['spec'] as { selector?: { matchLabels?: Record<string, string> } };
  const wanted = Object.entries(selector?.matchLabels ?? {});
  const { namespace = '' } = budget.metadata;
  const covered = simulation.pods
    .list(namespace)
    .filter((pod) => wanted.every(([name, value]) => pod.metadata.labels?.[name] === value));
  await patchStatus(simulation, [resources.podDisruptionBudgets, budget], {
    observedGeneration: budget.metadata.generation,
    disruptionsAllowed: 0,
    currentHealthy: covered.length,
    desiredHealthy: covered.length,
    expectedPods: covered.length,
  });
  return 'done';
}
