import { createHash } from 'node:crypto';
import { canonicalJson, type KubeObject } from '@selvedge/api';
import type {
  Container,
  DeploymentSpec,
  PodSpec,
  PodTemplate,
  Protocol,
  ServicePort,
  ServiceSpec,
} from './manifest-model.ts';
import { type ResolvedData, resolveData } from './resolved-data.ts';

/** What one item is to have on this machine, computed from its accepted manifests. */
export interface DesiredApp {
  /** Of the Application. */
  readonly namespace: string;
  readonly workloads: readonly Workload[];
  readonly services: readonly DesiredService[];
  /** `namespace/name`. */
  readonly claims: readonly string[];
  readonly data: ResolvedData;
}

export type Strategy =
  | { readonly type: 'Recreate' }
  | { readonly type: 'RollingUpdate'; readonly maxSurge: number; readonly maxUnavailable: number };

/** Equal pods that are wanted in a number. */
export interface Workload {
  /** `Deployment/namespace/name`. */
  readonly key: string;
  readonly namespace: string;
  readonly name: string;
  readonly replicas: number;
  readonly strategy: Strategy;
  readonly minReadySeconds: number;
  /** Without one: Infinity. */
  readonly progressDeadlineSeconds: number;
  readonly template: PodTemplate;
  /** Names of the headless Services that stand for these pods. */
  readonly headlessNames: readonly string[];
  /** Equal hash: the pod is as wanted. Covers the template and the ConfigMaps and Secrets that it uses. */
  readonly hash: string;
}

export interface DesiredService {
  /** `namespace/name`. */
  readonly key: string;
  readonly namespace: string;
  readonly name: string;
  /** No address of its own: its name stands for the pods themselves. */
  readonly isHeadless: boolean;
  readonly selector: Readonly<Record<string, string>>;
  readonly ports: readonly {
    readonly port: number;
    readonly targetPort: number | string;
    readonly protocol: Protocol;
  }[];
  /** Ports of the machine that lead to the Service. */
  readonly published: readonly {
    readonly hostPort: number;
    readonly port: number;
    readonly protocol: Protocol;
  }[];
  /** Pods get traffic before they are ready. */
  readonly includesNotReady: boolean;
}

export interface AppContext {
  /** Namespace of manifests that name none. */
  readonly namespace: string;
  /** UID of the item: pods of one deleted and made again are other pods. */
  readonly uid: string;
}

/** Manifests must have passed `findUnsupported`. */
export function buildApp(manifests: readonly KubeObject[], context: AppContext): DesiredApp {
  const namespaceOf = (m: KubeObject) => m.metadata.namespace ?? context.namespace;
  const data = resolveData(manifests, namespaceOf);
  const services = manifests.filter((m) => m.kind === 'Service').map((m) => buildService(m, namespaceOf(m)));
  const named = (kind: string) => manifests.filter((m) => m.kind === kind);
  const workload = (
    manifest: KubeObject,
    rest: Omit<Workload, 'key' | 'namespace' | 'name' | 'hash' | 'headlessNames'>,
  ): Workload => {
    const namespace = namespaceOf(manifest);
    const key = `${manifest.kind}/${namespace}/${manifest.metadata.name}`;
    const labels = rest.template.metadata?.labels ?? {};
    const headlessNames = services
      .filter((s) => s.isHeadless && s.namespace === namespace && selects(s.selector, labels))
      .map((s) => s.name);
    const used = usedData(rest.template.spec, namespace, data);
    const hash = templateHash({ uid: context.uid, key, template: rest.template, used, headlessNames });
    return { key, namespace, name: manifest.metadata.name, hash, headlessNames, ...rest };
  };
  return {
    namespace: context.namespace,
    data,
    workloads: [
      ...named('Deployment').map((m) => {
        const spec = m['spec'] as DeploymentSpec;
        const replicas = spec.replicas ?? 1;
        return workload(m, {
          replicas,
          strategy: resolveStrategy(spec.strategy, replicas),
          minReadySeconds: spec.minReadySeconds ?? 0,
          progressDeadlineSeconds: spec.progressDeadlineSeconds ?? Number.POSITIVE_INFINITY,
          template: spec.template,
        });
      }),
      // Two pods of one name never live at the same time.
      ...named('Pod').map((m) =>
        workload(m, {
          replicas: 1,
          strategy: { type: 'Recreate' },
          minReadySeconds: 0,
          progressDeadlineSeconds: Number.POSITIVE_INFINITY,
          template: {
            metadata: { labels: m.metadata.labels ?? {}, annotations: m.metadata.annotations ?? {} },
            spec: m['spec'] as PodSpec,
          },
        }),
      ),
    ],
    services,
    claims: named('PersistentVolumeClaim').map((m) => `${namespaceOf(m)}/${m.metadata.name}`),
  };
}

/** An empty selector selects nothing, as in a Service. */
export function selects(
  selector: Readonly<Record<string, string>>,
  labels: Readonly<Record<string, string>>,
): boolean {
  const wanted = Object.entries(selector);
  return wanted.length > 0 && wanted.every(([key, value]) => labels[key] === value);
}

/** Kubernetes' defaults: 25 % each, surge rounded up, unavailable rounded down. */
function resolveStrategy(strategy: DeploymentSpec['strategy'], replicas: number): Strategy {
  if (strategy?.type === 'Recreate') return { type: 'Recreate' };
  const { maxSurge = '25%', maxUnavailable = '25%' } = strategy?.rollingUpdate ?? {};
  const count = (value: number | string, round: (n: number) => number) =>
    typeof value === 'number' ? value : round((Number.parseInt(value, 10) * replicas) / 100);
  const surge = count(maxSurge, Math.ceil);
  const unavailable = Math.min(count(maxUnavailable, Math.floor), replicas);
  return {
    type: 'RollingUpdate',
    maxSurge: surge,
    // As the Deployment controller: percentages that both come to nothing would stand still.
    maxUnavailable: surge === 0 && unavailable === 0 ? 1 : unavailable,
  };
}

function buildService(manifest: KubeObject, namespace: string): DesiredService {
  const spec = manifest['spec'] as ServiceSpec;
  const ports = spec.ports ?? [];
  const published = ports.flatMap((p) => publishedPorts(spec, p));
  return {
    key: `${namespace}/${manifest.metadata.name}`,
    namespace,
    name: manifest.metadata.name,
    isHeadless: spec.clusterIP === 'None',
    selector: spec.selector ?? {},
    ports: ports.map((p) => ({
      port: p.port,
      targetPort: p.targetPort ?? p.port,
      protocol: p.protocol ?? 'TCP',
    })),
    published,
    includesNotReady: spec.publishNotReadyAddresses ?? false,
  };
}

function publishedPorts(
  spec: ServiceSpec,
  { port, nodePort, protocol = 'TCP' }: ServicePort,
): DesiredService['published'] {
  const isOutside = spec.type === 'NodePort' || spec.type === 'LoadBalancer';
  return [
    ...(spec.type === 'LoadBalancer' ? [{ hostPort: port, port, protocol }] : []),
    ...(isOutside && nodePort !== undefined && !(spec.type === 'LoadBalancer' && nodePort === port)
      ? [{ hostPort: nodePort, port, protocol }]
      : []),
  ];
}

export function allContainers(spec: PodSpec): Container[] {
  return [...(spec.initContainers ?? []), ...spec.containers];
}

/** Names of the ConfigMaps and Secrets that a pod reads. */
export function usedSources(spec: PodSpec): { configMaps: Set<string>; secrets: Set<string> } {
  const configMaps = new Set<string>();
  const secrets = new Set<string>();
  for (const container of allContainers(spec)) {
    for (const { valueFrom } of container.env ?? []) {
      if (valueFrom?.configMapKeyRef) configMaps.add(valueFrom.configMapKeyRef.name);
      if (valueFrom?.secretKeyRef) secrets.add(valueFrom.secretKeyRef.name);
    }
    for (const source of container.envFrom ?? []) {
      if (source.configMapRef) configMaps.add(source.configMapRef.name);
      if (source.secretRef) secrets.add(source.secretRef.name);
    }
  }
  for (const volume of spec.volumes ?? []) {
    if (volume.configMap) configMaps.add(volume.configMap.name);
    if (volume.secret) secrets.add(volume.secret.secretName);
  }
  return { configMaps, secrets };
}

/** Digests only, so nothing of a Secret can be guessed from what the hash is computed of. */
function usedData(spec: PodSpec, namespace: string, data: ResolvedData): Record<string, string> {
  const used = usedSources(spec);
  const digest = (map: ReadonlyMap<string, Buffer> | undefined) => {
    const hash = createHash('sha256');
    for (const [key, value] of [...(map ?? [])].sort(([a], [b]) => (a < b ? -1 : 1))) {
      hash.update(`${key.length}:${key}${value.length}:`).update(value);
    }
    return hash.digest('hex');
  };
  return Object.fromEntries([
    ...[...used.configMaps].map((n) => [`ConfigMap/${n}`, digest(data.configMaps.get(`${namespace}/${n}`))]),
    ...[...used.secrets].map((n) => [`Secret/${n}`, digest(data.secrets.get(`${namespace}/${n}`))]),
  ]);
}

function templateHash(parts: unknown): string {
  return createHash('sha256').update(canonicalJson(parts)).digest('hex').slice(0, 10);
}
