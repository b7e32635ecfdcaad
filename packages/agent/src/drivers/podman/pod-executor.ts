import { chmod, mkdir, realpath, stat } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import {
  type ContainerPlan,
  containerBody,
  normalizeImage,
  podBody,
  podmanVolumeOf,
} from './container-spec.ts';
import { isMissing, type LibpodClient, LibpodError } from './libpod-client.ts';
import type { Container, Volume } from './manifest-model.ts';
import type { ObservedContainer, ObservedPod } from './observe.ts';
import { labelNames, type PodmanNames, type SiteIdentity } from './ownership.ts';
import { checkHostPath, checkUser, PodStepError } from './pod-checks.ts';
import { type PodFacts, resolveEnvironment } from './pod-environment.ts';
import { ParallelLimit } from '../../concurrency/parallel-limit.ts';
import type { PodFiles } from './pod-files.ts';
import type { PodPlan } from './pod-plan.ts';

const longestGraceMilliseconds = 4 * 3_600_000;

export interface PodExecutorOptions {
  readonly client: LibpodClient;
  readonly names: PodmanNames;
  readonly site: SiteIdentity;
  readonly files: PodFiles;
  /** What `status.hostIP` shows. */
  readonly hostIp: string;
}

/** What a container is put into. */
export interface ContainerSurroundings {
  readonly podIP: string;
  /** The container of the same name that it takes the place of. */
  readonly predecessor: ObservedContainer | undefined;
}

/** After a boot everything starts at once; Podman is heavy, and small machines are slow. */
const parallelStarts = 4;

/** Carries out single steps on pods. Each can be repeated after it was cut off at any point. */
export class PodExecutor {
  readonly #options: PodExecutorOptions;
  readonly #starts = new ParallelLimit(parallelStarts);

  constructor(options: PodExecutorOptions) {
    this.#options = options;
  }

  /** Makes the pod with its volumes, and starts its own container, which holds its network. */
  createPod(plan: PodPlan): Promise<void> {
    return this.#starts.run(() => this.#createPod(plan));
  }

  async #createPod(plan: PodPlan): Promise<void> {
    const { client, files, names } = this.#options;
    await files.writeVolumes(plan);
    await this.#ensureVolumes(plan);
    await client.call({ method: 'POST', path: '/pods/create', body: podBody(plan, names) });
    await client.call({ method: 'POST', path: `/containers/${names.infra(plan.name)}/start` });
  }

  /**
   * Makes a pod anew whose own container does not run; its volumes stay. After a boot Podman 4.3 does not know the pod's cgroup
   * any more and takes no new containers into it, and whatever was in it belongs to a network that is gone.
   */
  async recreatePod(pod: ObservedPod, plan: PodPlan): Promise<void> {
    await this.#removePodRecord(pod.id);
    await this.createPod(plan);
  }

  /** Starts a pod as it is: all that can be done without its manifest. */
  async startAsItIs(pod: ObservedPod): Promise<void> {
    await this.#options.client.call({ method: 'POST', path: `/pods/${pod.id}/start` });
  }

  /** Makes a container anew and starts it. What has its name but is not its predecessor is somebody else's, and stays. */
  startContainer(plan: PodPlan, container: Container, found: ContainerSurroundings): Promise<void> {
    return this.#starts.run(() => this.#startContainer(plan, container, found));
  }

  async #startContainer(
    plan: PodPlan,
    container: Container,
    { podIP, predecessor }: ContainerSurroundings,
  ): Promise<void> {
    const { client, names, files } = this.#options;
    // After a reboot the tmpfs is empty.
    await files.writeVolumes(plan);
    const mountpoints = await this.#ensureVolumes(plan);
    await this.#checkHostPaths(plan, container);
    await makeSubPaths(plan, container, { names, mountpoints });
    const environment = resolveEnvironment(container, this.#factsOf(plan, podIP), plan.app.data);
    const image = await this.#inspectImage(container.image);
    checkUser(plan.workload.template.spec, container, image.Config?.User ?? '');
    const hasSecrets = environment.secret.size > 0;
    const options: ContainerPlan = {
      plan,
      container,
      environment,
      names,
      sources: {
        filesOf: (volume) => files.volumeDir(plan.name, volume),
        mountpointOf: (volume) => mountpoints.get(volume) ?? '',
      },
      imageCommand: { entrypoint: image.Config?.Entrypoint ?? [], command: image.Config?.Cmd ?? [] },
      ...(hasSecrets
        ? {
            secretEnvironmentFile: await files.writeSecretEnvironment(
              plan.name,
              container.name,
              environment.secret,
            ),
          }
        : {}),
    };
    const name = names.container(plan.name, container.name);
    if (predecessor) await this.#removeContainer(predecessor.id);
    await client.call({ method: 'POST', path: '/containers/create', body: containerBody(options) });
    if (hasSecrets) await this.#assertShell(name, container);
    await client.call({ method: 'POST', path: `/containers/${name}/start` });
  }

  /** SIGTERM, then SIGKILL after the grace period that the container was made with. */
  async stopContainer(container: ObservedContainer): Promise<void> {
    if (container.state !== 'running') return;
    try {
      await this.#options.client.call({
        method: 'POST',
        path: `/containers/${container.id}/stop`,
        timeoutMilliseconds: longestGraceMilliseconds,
      });
    } catch (error) {
      if (!isMissing(error)) throw error;
    }
  }

  /** Stops the containers with their grace period, then removes the pod with everything that is its own. */
  async removePod(pod: ObservedPod): Promise<void> {
    await Promise.all(pod.containers.map((container) => this.stopContainer(container)));
    await this.#removePodRecord(pod.id);
    await this.#removeScratchVolumes(pod.name);
    await this.#options.files.remove(pod.name);
  }

  async #removePodRecord(id: string): Promise<void> {
    try {
      await this.#options.client.call({
        method: 'DELETE',
        path: `/pods/${id}`,
        query: { force: true, timeout: 0 },
      });
    } catch (error) {
      if (!isMissing(error)) throw error;
    }
  }

  async #removeContainer(nameOrId: string): Promise<void> {
    try {
      await this.#options.client.call({
        method: 'DELETE',
        path: `/containers/${nameOrId}`,
        query: { force: true, timeout: 0, v: true },
      });
    } catch (error) {
      if (!isMissing(error)) throw error;
    }
  }

  /** Podman volumes of emptyDirs and claims. @returns their folders by name. */
  async #ensureVolumes(plan: PodPlan): Promise<Map<string, string>> {
    const { client, names } = this.#options;
    const mountpoints = new Map<string, string>();
    for (const volume of plan.workload.template.spec.volumes ?? []) {
      const name = podmanVolumeOf(plan, volume, names);
      if (name === undefined) continue;
      const path = `/volumes/${name}/json`;
      const found = await client.find<{ Mountpoint: string }>({ path });
      const made = found ?? (await this.#createVolume(name, plan, volume));
      mountpoints.set(name, made.Mountpoint);
    }
    return mountpoints;
  }

  async #createVolume(name: string, plan: PodPlan, volume: Volume): Promise<{ Mountpoint: string }> {
    const { client, site } = this.#options;
    const isClaim = volume.persistentVolumeClaim !== undefined;
    const made = await client.call<{ Mountpoint: string }>({
      method: 'POST',
      path: '/volumes/create',
      body: {
        Name: name,
        Label: {
          [labelNames.site]: site.uid,
          [labelNames.itemUid]: plan.labels[labelNames.itemUid],
          [labelNames.item]: plan.labels[labelNames.item],
          ...(isClaim ? {} : { [labelNames.pod]: plan.name }),
        },
        ...(volume.emptyDir ? { Driver: 'local', Options: scratchOptions(volume.emptyDir) } : {}),
      },
    });
    // As in Kubernetes, any user of the pod may write into it.
    if (volume.emptyDir?.medium !== 'Memory' && !isClaim) await chmod(made.Mountpoint, 0o777);
    return made;
  }

  async #removeScratchVolumes(pod: string): Promise<void> {
    const { client } = this.#options;
    const filters = JSON.stringify({ label: [`${labelNames.pod}=${pod}`] });
    const list = await client.call<{ Name: string }[] | null>({ path: '/volumes/json', query: { filters } });
    for (const { Name } of list ?? []) {
      await client.find({ method: 'DELETE', path: `/volumes/${Name}`, query: { force: false } });
    }
  }

  /** `hostPath.type` as the kubelet checks it. */
  async #checkHostPaths(plan: PodPlan, container: Container): Promise<void> {
    const mounted = new Set((container.volumeMounts ?? []).map((mount) => mount.name));
    for (const volume of plan.workload.template.spec.volumes ?? []) {
      if (volume.hostPath && mounted.has(volume.name)) await checkHostPath(volume.hostPath);
    }
  }

  async #inspectImage(image: string): Promise<InspectedImage> {
    const name = normalizeImage(image);
    const found = await this.#options.client.find<InspectedImage>({
      path: `/images/${encodeURI(name)}/json`,
    });
    if (!found) throw new LibpodError(404, `image ${name} is not on this machine any more`);
    return found;
  }

  /** Variables from Secrets need a shell in the image to get into the program without passing Podman's disk. */
  async #assertShell(name: string, container: Container): Promise<void> {
    try {
      await this.#options.client.bytes({
        method: 'HEAD',
        path: `/containers/${name}/archive`,
        query: { path: '/bin/sh' },
      });
    } catch (error) {
      if (!isMissing(error)) throw error;
      await this.#removeContainer(name);
      throw new PodStepError(
        `container ${container.name} takes variables from a Secret, which needs /bin/sh in its image; mount the Secret as a volume instead`,
      );
    }
  }

  #factsOf(plan: PodPlan, podIP: string): PodFacts {
    const { metadata } = plan.workload.template;
    return {
      name: plan.kubernetesName,
      namespace: plan.workload.namespace,
      uid: plan.uid,
      labels: metadata?.labels ?? {},
      annotations: metadata?.annotations ?? {},
      podIP,
      hostIP: this.#options.hostIp,
    };
  }
}

/** With an owner given Podman leaves owner and mode alone at the first mount; else it takes those of the image's folder. */
function scratchOptions({ medium }: NonNullable<Volume['emptyDir']>): Record<string, string> {
  if (medium === 'Memory') return { type: 'tmpfs', device: 'tmpfs', o: 'mode=1777,nodev,nosuid' };
  return { o: 'uid=0,gid=0' };
}

interface InspectedImage {
  Config?: { User?: string; Entrypoint?: string[] | null; Cmd?: string[] | null };
}

/** A `subPath` into a Podman volume is a folder that may not be there yet. */
async function makeSubPaths(
  plan: PodPlan,
  container: Container,
  { names, mountpoints }: { names: PodmanNames; mountpoints: ReadonlyMap<string, string> },
): Promise<void> {
  const volumes = new Map((plan.workload.template.spec.volumes ?? []).map((volume) => [volume.name, volume]));
  for (const { name, subPath } of container.volumeMounts ?? []) {
    const volume = volumes.get(name);
    if (!volume || subPath === undefined) continue;
    const podmanVolume = podmanVolumeOf(plan, volume, names);
    const base = mountpoints.get(podmanVolume ?? '');
    if (base === undefined) continue;
    const path = join(base, subPath);
    if (!(await stat(path).catch(() => undefined))) {
      await mkdir(dirname(path), { recursive: true });
      await mkdir(path);
      await chmod(path, 0o777);
    }
    // A program may have put a link there that leads out of its volume.
    const real = await realpath(path);
    if (!real.startsWith(`${await realpath(base)}/`)) {
      throw new PodStepError(`subPath ${subPath} of volume ${name} leads out of the volume`);
    }
  }
}
