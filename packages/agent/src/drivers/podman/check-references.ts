import type { KubeObject } from '@selvedge/api';
import { allContainers, type AppContext } from './desired-app.ts';
import type {
  Container,
  DeploymentSpec,
  KeyRef,
  PodSpec,
  PodTemplate,
  Probe,
  ServiceSpec,
} from './manifest-model.ts';
import { type DataMap, type ResolvedData, resolveData } from './resolved-data.ts';
import type { RuntimeCapabilities } from './runtime-capabilities.ts';
import { referencedNames } from './variable-expansion.ts';

interface Surroundings {
  readonly context: AppContext;
  readonly capabilities: RuntimeCapabilities;
}

type Report = (path: string, message: string) => void;

/**
 * Faults that no single field shows: names that lead nowhere, fields that contradict each other, limits that this machine
 * cannot enforce. Fields must have passed `checkFields`.
 */
export function findConflicts(manifests: readonly KubeObject[], around: Surroundings): string[] {
  const faults: string[] = [];
  const namespaceOf = (m: KubeObject) => m.metadata.namespace ?? around.context.namespace;
  const data = resolveData(manifests, namespaceOf);
  const claims = new Set(
    manifests
      .filter((m) => m.kind === 'PersistentVolumeClaim')
      .map((m) => `${namespaceOf(m)}/${m.metadata.name}`),
  );
  const templates: { namespace: string; template: PodTemplate }[] = [];
  for (const manifest of manifests) {
    const report: Report = (path, message) =>
      faults.push(`${manifest.kind}/${manifest.metadata.name}: ${path}: ${message}`);
    const namespace = namespaceOf(manifest);
    const check = (template: PodTemplate, path: string) => {
      templates.push({ namespace, template });
      new PodCheck({ namespace, data, claims, capabilities: around.capabilities, report }).run(
        template.spec,
        path,
      );
    };
    if (manifest.kind === 'Deployment') {
      const spec = manifest['spec'] as DeploymentSpec;
      checkDeployment(spec, report);
      check(spec.template, 'spec.template.spec');
    }
    if (manifest.kind === 'Pod') {
      check({ metadata: manifest.metadata, spec: manifest['spec'] as PodSpec }, 'spec');
    }
  }
  for (const manifest of manifests.filter((m) => m.kind === 'Service')) {
    const report: Report = (path, message) =>
      faults.push(`Service/${manifest.metadata.name}: ${path}: ${message}`);
    const selectable = templates.filter((t) => t.namespace === namespaceOf(manifest)).map((t) => t.template);
    checkService(manifest['spec'] as ServiceSpec, selectable, report);
  }
  return [...faults, ...publishedTwice(manifests)];
}

function checkDeployment(spec: DeploymentSpec, report: Report): void {
  const labels = spec.template.metadata?.labels ?? {};
  const selector = Object.entries(spec.selector.matchLabels ?? {});
  if (selector.length === 0) report('spec.selector.matchLabels', 'must not be empty');
  for (const [key, value] of selector) {
    if (labels[key] !== value) report('spec.selector.matchLabels', `template labels have no ${key}=${value}`);
  }
  if ((spec.template.spec.restartPolicy ?? 'Always') !== 'Always') {
    report('spec.template.spec.restartPolicy', 'must be Always in a Deployment');
  }
  const { maxSurge, maxUnavailable } = spec.strategy?.rollingUpdate ?? {};
  const isZero = (value: unknown) => value === 0 || value === '0%';
  if (isZero(maxSurge) && isZero(maxUnavailable)) {
    report('spec.strategy.rollingUpdate', 'maxSurge and maxUnavailable cannot both be 0');
  }
  if (spec.strategy?.type === 'Recreate' && spec.strategy.rollingUpdate) {
    report('spec.strategy.rollingUpdate', 'must be absent with type Recreate');
  }
}

function checkService(spec: ServiceSpec, templates: readonly PodTemplate[], report: Report): void {
  if (Object.keys(spec.selector ?? {}).length === 0) {
    report('spec.selector', 'is required on a Podman site: Services without one have no endpoints');
    return;
  }
  const isHeadless = spec.clusterIP === 'None';
  if (!isHeadless && (spec.ports ?? []).length === 0) report('spec.ports', 'is required');
  if (isHeadless && (spec.type ?? 'ClusterIP') !== 'ClusterIP') {
    report('spec.clusterIP', `cannot be None with type ${spec.type}`);
  }
  const isSelected = (t: PodTemplate) =>
    Object.entries(spec.selector ?? {}).every(([key, value]) => t.metadata?.labels?.[key] === value);
  if (isHeadless && !templates.some(isSelected)) {
    report(
      'spec.selector',
      'of a headless Service must select pods of the same application on a Podman site',
    );
  }
  const waits = templates.some(
    (t) => isSelected(t) && t.spec.containers.some((c) => c.readinessProbe ?? c.startupProbe),
  );
  if (isHeadless && waits && !spec.publishNotReadyAddresses) {
    report(
      'spec.publishNotReadyAddresses',
      'must be true for a headless Service whose pods have readiness or startup probes: on a Podman site the name leads to pods from their start',
    );
  }
  for (const [index, port] of (spec.ports ?? []).entries()) {
    const path = `spec.ports[${index}].nodePort`;
    if (spec.type === 'NodePort' && port.nodePort === undefined) {
      report(path, 'is required on a Podman site: no range of ports is given out by itself');
    }
    if ((spec.type ?? 'ClusterIP') === 'ClusterIP' && port.nodePort !== undefined) {
      report(path, 'needs type NodePort or LoadBalancer');
    }
  }
}

/** One port of the machine for two Services of the same release. */
function publishedTwice(manifests: readonly KubeObject[]): string[] {
  const holders = new Map<string, string>();
  const faults: string[] = [];
  for (const manifest of manifests.filter((m) => m.kind === 'Service')) {
    const spec = manifest['spec'] as ServiceSpec;
    for (const port of spec.ports ?? []) {
      const published = [spec.type === 'LoadBalancer' ? port.port : undefined, port.nodePort];
      for (const number of new Set(published.filter((p) => p !== undefined))) {
        const key = `${port.protocol ?? 'TCP'} ${number}`;
        const name = `Service/${manifest.metadata.name}`;
        const holder = holders.get(key);
        if (holder !== undefined)
          faults.push(`${name}: spec.ports: port ${number} of the machine is also asked for by ${holder}`);
        holders.set(key, name);
      }
    }
  }
  return faults;
}

interface PodCheckOptions {
  readonly namespace: string;
  readonly data: ResolvedData;
  readonly claims: ReadonlySet<string>;
  readonly capabilities: RuntimeCapabilities;
  readonly report: Report;
}

class PodCheck {
  readonly #options: PodCheckOptions;

  constructor(options: PodCheckOptions) {
    this.#options = options;
  }

  run(spec: PodSpec, path: string): void {
    const { report } = this.#options;
    if (spec.containers.length === 0) report(`${path}.containers`, 'must not be empty');
    const names = new Set<string>();
    for (const { name } of allContainers(spec)) {
      if (names.has(name)) report(`${path}.containers`, `container name ${name} stands twice`);
      names.add(name);
    }
    this.#checkVolumes(spec, path);
    const volumes = new Map((spec.volumes ?? []).map((volume) => [volume.name, volume]));
    for (const kind of ['initContainers', 'containers'] as const) {
      for (const [index, container] of (spec[kind] ?? []).entries()) {
        const at = `${path}.${kind}[${index}]`;
        this.#checkEnvironment(container, at);
        this.#checkLimits(container, at);
        for (const name of ['livenessProbe', 'readinessProbe', 'startupProbe'] as const) {
          this.#checkProbe(container, container[name], `${at}.${name}`);
        }
        const paths = new Set<string>();
        for (const [mountIndex, mount] of (container.volumeMounts ?? []).entries()) {
          const mountPath = `${at}.volumeMounts[${mountIndex}]`;
          if (!volumes.has(mount.name)) report(`${mountPath}.name`, `there is no volume ${mount.name}`);
          if (paths.has(mount.mountPath)) report(`${mountPath}.mountPath`, 'stands twice');
          paths.add(mount.mountPath);
          if (mount.subPath !== undefined && volumes.get(mount.name)?.emptyDir?.medium === 'Memory') {
            report(`${mountPath}.subPath`, 'is not supported on a Podman site for an emptyDir in memory');
          }
        }
      }
    }
  }

  #checkVolumes(spec: PodSpec, path: string): void {
    const { report, data, claims, namespace } = this.#options;
    const names = new Set<string>();
    for (const [index, volume] of (spec.volumes ?? []).entries()) {
      const at = `${path}.volumes[${index}]`;
      const kinds = Object.keys(volume).filter((key) => key !== 'name');
      if (kinds.length !== 1) report(at, 'needs exactly one source');
      if (names.has(volume.name)) report(`${at}.name`, `${volume.name} stands twice`);
      names.add(volume.name);
      const { configMap, secret, persistentVolumeClaim: claim } = volume;
      if (configMap) {
        const found = data.configMaps.get(`${namespace}/${configMap.name}`);
        if (!found && !configMap.optional)
          report(`${at}.configMap.name`, missing('ConfigMap', configMap.name));
        this.#checkItems(found, configMap.items, `${at}.configMap`, configMap.optional);
      }
      if (secret) {
        const found = data.secrets.get(`${namespace}/${secret.secretName}`);
        if (!found && !secret.optional)
          report(`${at}.secret.secretName`, missing('Secret', secret.secretName));
        this.#checkItems(found, secret.items, `${at}.secret`, secret.optional);
      }
      if (claim && !claims.has(`${namespace}/${claim.claimName}`)) {
        report(`${at}.persistentVolumeClaim.claimName`, missing('PersistentVolumeClaim', claim.claimName));
      }
    }
  }

  #checkItems(
    found: DataMap | undefined,
    items: readonly { key: string }[] | undefined,
    ...[path, optional]: [path: string, optional: boolean | undefined]
  ): void {
    if (!found || optional) return;
    for (const [index, { key }] of (items ?? []).entries()) {
      if (!found.has(key)) this.#options.report(`${path}.items[${index}].key`, `there is no key ${key}`);
    }
  }

  #checkEnvironment(container: Container, path: string): void {
    const { report, data, namespace } = this.#options;
    const secretNames = new Set<string>();
    for (const [index, { secretRef, configMapRef }] of (container.envFrom ?? []).entries()) {
      const at = `${path}.envFrom[${index}]`;
      if (
        configMapRef &&
        !configMapRef.optional &&
        !data.configMaps.has(`${namespace}/${configMapRef.name}`)
      ) {
        report(`${at}.configMapRef.name`, missing('ConfigMap', configMapRef.name));
      }
      if (!secretRef) continue;
      const found = data.secrets.get(`${namespace}/${secretRef.name}`);
      if (!found && !secretRef.optional) report(`${at}.secretRef.name`, missing('Secret', secretRef.name));
      const prefix = container.envFrom?.[index]?.prefix ?? '';
      for (const key of found?.keys() ?? [])
        this.#checkSecretName(`${prefix}${key}`, `${at}.secretRef`, secretNames);
    }
    for (const [index, variable] of (container.env ?? []).entries()) {
      const at = `${path}.env[${index}]`;
      const { configMapKeyRef, secretKeyRef } = variable.valueFrom ?? {};
      if (variable.valueFrom && Object.keys(variable.valueFrom).length !== 1) {
        report(`${at}.valueFrom`, 'needs exactly one source');
      }
      if (variable.valueFrom && variable.value !== undefined && variable.value !== '') {
        report(`${at}.value`, 'cannot stand beside valueFrom');
      }
      if (configMapKeyRef) this.#checkKey('ConfigMap', configMapKeyRef, `${at}.valueFrom.configMapKeyRef`);
      if (secretKeyRef) {
        this.#checkKey('Secret', secretKeyRef, `${at}.valueFrom.secretKeyRef`);
        this.#checkSecretName(variable.name, `${at}.name`, secretNames);
      } else if (referencedNames(variable.value ?? '').some((name) => secretNames.has(name))) {
        this.#checkSecretName(variable.name, `${at}.name`, secretNames);
      }
    }
    for (const field of ['command', 'args'] as const) {
      for (const [index, argument] of (container[field] ?? []).entries()) {
        const leaked = referencedNames(argument).find((name) => secretNames.has(name));
        if (leaked === undefined) continue;
        report(
          `${path}.${field}[${index}]`,
          `$(${leaked}) comes from a Secret and would be seen in the list of processes; let the program read the variable`,
        );
      }
    }
  }

  /** Values of Secrets reach the program by a shell, which knows only such names. */
  #checkSecretName(name: string, path: string, secretNames: Set<string>): void {
    secretNames.add(name);
    if (/^[A-Za-z_][A-Za-z0-9_]*$/.test(name)) return;
    this.#options.report(
      path,
      `${name} is no variable name for a shell; mount the Secret as a volume instead`,
    );
  }

  #checkKey(kind: 'ConfigMap' | 'Secret', ref: KeyRef, path: string): void {
    const { data, namespace, report } = this.#options;
    if (ref.optional) return;
    const found = (kind === 'ConfigMap' ? data.configMaps : data.secrets).get(`${namespace}/${ref.name}`);
    if (!found) report(`${path}.name`, missing(kind, ref.name));
    else if (!found.has(ref.key)) report(`${path}.key`, `${kind} ${ref.name} has no key ${ref.key}`);
  }

  #checkLimits(container: Container, path: string): void {
    const { capabilities, report } = this.#options;
    const { cpu, memory } = container.resources?.limits ?? {};
    const hint =
      'cannot be enforced by Podman on this machine (its cgroup controller is not available to this user)';
    if (cpu !== undefined && !capabilities.canLimitCpu) report(`${path}.resources.limits.cpu`, hint);
    if (memory !== undefined && !capabilities.canLimitMemory) report(`${path}.resources.limits.memory`, hint);
  }

  #checkProbe(container: Container, probe: Probe | undefined, path: string): void {
    if (!probe) return;
    const { report } = this.#options;
    const handlers = [probe.exec, probe.httpGet, probe.tcpSocket].filter((h) => h !== undefined);
    if (handlers.length !== 1) report(path, 'needs exactly one of exec, httpGet, tcpSocket');
    const port = probe.httpGet?.port ?? probe.tcpSocket?.port;
    if (typeof port === 'string' && !container.ports?.some((p) => p.name === port)) {
      report(`${path}.port`, `the container has no port named ${port}`);
    }
    if (!path.endsWith('readinessProbe') && (probe.successThreshold ?? 1) !== 1) {
      report(`${path}.successThreshold`, 'must be 1');
    }
  }
}

function missing(kind: string, name: string): string {
  return `there is no ${kind} ${name} in this application; add it, or make the reference optional`;
}
