import { quantityToNumber } from '@selvedge/api';
import { join } from 'node:path';
import type { Container, PodSpec, Volume, VolumeMount } from './manifest-model.ts';
import { labelNames, type PodmanNames } from './ownership.ts';
import { type Environment, secretEnvironmentPath, withSecretEnvironment } from './pod-environment.ts';
import type { PodPlan } from './pod-plan.ts';
import { searchDomain, serviceAliases } from './pod-plan.ts';
import { healthCheckOf } from './probes/exec-probe.ts';

/** Bytes of a container's log that Podman keeps. */
const logSizeBytes = 10 * 2 ** 20;
const cpuPeriodMicroseconds = 100_000;
export const defaultGraceSeconds = 30;

/** Body of `POST /pods/create`. The pod's own container holds its network, host name and shared memory. */
export function podBody(plan: PodPlan, names: PodmanNames): Record<string, unknown> {
  const { workload } = plan;
  const aliases = workload.headlessNames.flatMap((name) => serviceAliases(workload.namespace, name));
  return {
    name: plan.name,
    infra_name: names.infra(plan.name),
    hostname: plan.hostname,
    labels: plan.labels,
    shared_namespaces: ['net', 'ipc', 'uts'],
    exit_policy: 'continue',
    restart_policy: 'no',
    // Rootless Podman would take slirp4netns by itself.
    netns: { nsmode: 'bridge' },
    Networks: { [names.network]: { aliases } },
    dns_search: [searchDomain(workload.namespace)],
    hostadd: (workload.template.spec.hostAliases ?? []).flatMap(({ ip, hostnames = [] }) =>
      hostnames.map((host) => `${host}:${ip}`),
    ),
  };
}

/** Where the content of volumes lies on this machine. */
export interface VolumeSources {
  /** Folder of a configMap or secret volume. */
  filesOf(volume: Volume): string;
  /** Folder of a Podman volume's data, for `subPath`. */
  mountpointOf(podmanVolume: string): string;
}

export interface ContainerPlan {
  readonly plan: PodPlan;
  readonly container: Container;
  readonly environment: Environment;
  /** File with the secret variables, when there are any. */
  readonly secretEnvironmentFile?: string;
  /** What the image runs by itself; needed when there are secret variables. */
  readonly imageCommand?: { readonly entrypoint: readonly string[]; readonly command: readonly string[] };
  readonly names: PodmanNames;
  readonly sources: VolumeSources;
}

/** Body of `POST /containers/create`. */
export function containerBody(options: ContainerPlan): Record<string, unknown> {
  const { plan, container, environment, names } = options;
  const spec = plan.workload.template.spec;
  return {
    name: names.container(plan.name, container.name),
    pod: plan.name,
    image: normalizeImage(container.image),
    labels: { ...plan.labels, [labelNames.pod]: plan.name, [labelNames.container]: container.name },
    env: environment.plain,
    // Restarts are ours: Podman's own would loop without a pause.
    restart_policy: 'no',
    stop_timeout: spec.terminationGracePeriodSeconds ?? defaultGraceSeconds,
    healthconfig: healthCheckOf(container, options.secretEnvironmentFile !== undefined),
    log_configuration: { driver: 'k8s-file', size: logSizeBytes },
    ...(container.workingDir ? { work_dir: container.workingDir } : {}),
    ...commandLine(options),
    ...mounts(options),
    ...resourceLimits(container),
    ...security(spec, container),
  };
}

/** `command` is the entry point; without it the image's own stays, and its arguments only if there are no `args`. */
function commandLine({
  environment,
  imageCommand,
  secretEnvironmentFile,
}: ContainerPlan): Record<string, unknown> {
  const { command, args } = environment;
  if (secretEnvironmentFile === undefined) {
    return { ...(command ? { entrypoint: command } : {}), ...(args ? { command: args } : {}) };
  }
  const entrypoint = command ?? imageCommand?.entrypoint ?? [];
  const rest = args ?? (command ? [] : (imageCommand?.command ?? []));
  return { entrypoint: withSecretEnvironment([...entrypoint, ...rest]), command: [] };
}

function mounts(options: ContainerPlan): Record<string, unknown> {
  const { plan, container, secretEnvironmentFile } = options;
  const binds: Record<string, unknown>[] = [];
  const volumes: Record<string, unknown>[] = [];
  const bind = (destination: string, source: string, access: string) =>
    binds.push({ destination, type: 'bind', source, options: ['rbind', access] });
  const declared = new Map((plan.workload.template.spec.volumes ?? []).map((v) => [v.name, v]));
  for (const mount of container.volumeMounts ?? []) {
    const volume = declared.get(mount.name);
    if (!volume) continue;
    const access = isReadOnly(volume, mount) ? 'ro' : 'rw';
    const podmanVolume = podmanVolumeOf(plan, volume, options.names);
    const folder = podmanVolume === undefined ? bindSource(volume, options.sources) : undefined;
    if (folder !== undefined) bind(mount.mountPath, join(folder, mount.subPath ?? ''), access);
    else if (podmanVolume !== undefined && mount.subPath !== undefined) {
      bind(mount.mountPath, join(options.sources.mountpointOf(podmanVolume), mount.subPath), access);
    } else volumes.push({ Name: podmanVolume, Dest: mount.mountPath, Options: ['nocopy', access] });
  }
  if (secretEnvironmentFile !== undefined) bind(secretEnvironmentPath, secretEnvironmentFile, 'ro');
  return { mounts: binds, volumes };
}

/** Name of the Podman volume that holds the data of an emptyDir or a claim. */
export function podmanVolumeOf(plan: PodPlan, volume: Volume, names: PodmanNames): string | undefined {
  const claim = volume.persistentVolumeClaim;
  if (claim) return names.claimVolume(plan.workload.namespace, claim.claimName);
  return volume.emptyDir ? names.scratchVolume(plan.name, volume.name) : undefined;
}

function bindSource(volume: Volume, sources: VolumeSources): string | undefined {
  return volume.hostPath?.path ?? sources.filesOf(volume);
}

function isReadOnly(volume: Volume, mount: VolumeMount): boolean {
  return (
    mount.readOnly === true ||
    volume.persistentVolumeClaim?.readOnly === true ||
    volume.configMap !== undefined ||
    volume.secret !== undefined
  );
}

function resourceLimits({ resources }: Container): Record<string, unknown> {
  const cpu = quantityToNumber(resources?.limits?.cpu);
  const memory = quantityToNumber(resources?.limits?.memory);
  if (cpu === undefined && memory === undefined) return {};
  return {
    resource_limits: {
      ...(cpu === undefined
        ? {}
        : {
            cpu: {
              quota: Math.max(1000, Math.round(cpu * cpuPeriodMicroseconds)),
              period: cpuPeriodMicroseconds,
            },
          }),
      ...(memory === undefined ? {} : { memory: { limit: Math.round(memory) } }),
    },
  };
}

function security(spec: PodSpec, container: Container): Record<string, unknown> {
  const pod = spec.securityContext ?? {};
  const own = container.securityContext ?? {};
  const user = own.runAsUser ?? pod.runAsUser;
  const group = own.runAsGroup ?? pod.runAsGroup;
  const seccomp = own.seccompProfile ?? pod.seccompProfile;
  const capability = (name: string) =>
    name.toUpperCase() === 'ALL' ? 'ALL' : `CAP_${name.replace(/^CAP_/, '')}`;
  return {
    ...(user === undefined && group === undefined
      ? {}
      : { user: `${user ?? 0}${group === undefined ? '' : `:${group}`}` }),
    ...(pod.supplementalGroups ? { groups: pod.supplementalGroups.map(String) } : {}),
    ...(own.readOnlyRootFilesystem ? { read_only_filesystem: true } : {}),
    ...(own.privileged ? { privileged: true } : {}),
    ...(own.allowPrivilegeEscalation === false ? { no_new_privileges: true } : {}),
    ...(own.capabilities?.add ? { cap_add: own.capabilities.add.map(capability) } : {}),
    ...(own.capabilities?.drop ? { cap_drop: own.capabilities.drop.map(capability) } : {}),
    ...(seccomp?.type === 'Unconfined' ? { seccomp_profile_path: 'unconfined' } : {}),
  };
}

/** An image of this machine by what it is, whatever name leads to it now. */
const imageId = /^[0-9a-f]{64}$/;

/** Full name as Kubernetes understands it: no host means Docker Hub, a digest makes the tag meaningless. */
export function normalizeImage(image: string): string {
  if (imageId.test(image)) return image;
  const [name = image, digest] = image.split('@');
  const slash = name.indexOf('/');
  const host = slash === -1 ? '' : name.slice(0, slash);
  const hasHost = host.includes('.') || host.includes(':') || host === 'localhost';
  const full = hasHost ? name : `docker.io/${slash === -1 ? 'library/' : ''}${name}`;
  const tagAt = full.indexOf(':', full.lastIndexOf('/'));
  if (digest !== undefined) return `${tagAt === -1 ? full : full.slice(0, tagAt)}@${digest}`;
  return tagAt === -1 ? `${full}:latest` : full;
}
