import { type Command, InvalidArgumentError, Option } from 'commander';

/** How `run` reaches its cluster. */
export interface KubernetesFlags {
  readonly kubeconfig?: string;
  readonly context?: string;
  readonly inCluster?: boolean;
  readonly namespace?: string;
  readonly stateSecret?: boolean;
  readonly mirrorNamespaces?: readonly string[];
}

/** Where the manifests mount a volume; used when the state is kept in Secrets and no --state was given. */
export const stateDirInCluster = '/var/lib/selvedge/state';

const podmanFlags = ['podmanSocket', 'podCidr', 'hostIp'];

/** Adds the flags of a Kubernetes site; commander refuses by name what does not fit together. */
export function addKubernetesFlags(command: Command): Command {
  return command
    .addOption(
      new Option(
        '--kubeconfig <file>',
        'drive a Kubernetes cluster from beside it, instead of Podman on this machine',
      ).conflicts(podmanFlags),
    )
    .option('--context <name>', 'context of the kubeconfig; its current one without')
    .addOption(
      new Option('--in-cluster', 'drive the Kubernetes cluster that this agent runs in as a pod').conflicts([
        'kubeconfig',
        ...podmanFlags,
      ]),
    )
    .option(
      '--namespace <name>',
      "the agent's own namespace in the cluster (default: that of its pod, else selvedge-system)",
      namespaceName,
    )
    .option(
      '--state-secret',
      'with --in-cluster: keep the state in Secrets of the namespace, so that it survives the pod',
    )
    .option(
      '--mirror-namespaces <names>',
      'namespaces, with commas, that applications may take from this cluster to other sites, or none (default: every one that the agent may read, but its own)',
      namespaceNames,
    );
}

/** Undefined: a Podman site. Throws with the name of the flag that lacks another. */
export function checkKubernetesFlags(flags: KubernetesFlags): KubernetesFlags | undefined {
  const { kubeconfig, context, inCluster, namespace, stateSecret, mirrorNamespaces } = flags;
  if (context !== undefined && kubeconfig === undefined) throw new Error('--context needs --kubeconfig FILE');
  if (stateSecret === true && inCluster !== true) throw new Error('--state-secret needs --in-cluster');
  if (kubeconfig !== undefined || inCluster === true) return flags;
  if (namespace !== undefined) throw new Error('--namespace needs --kubeconfig FILE or --in-cluster');
  if (mirrorNamespaces !== undefined) {
    throw new Error('--mirror-namespaces needs --kubeconfig FILE or --in-cluster');
  }
  return undefined;
}

/** Throws when there is none and none is known. */
export function stateDirOf(flags: KubernetesFlags & { state?: string }): string {
  if (flags.state !== undefined) return flags.state;
  if (flags.inCluster === true && flags.stateSecret === true) return stateDirInCluster;
  throw new Error('--state DIR is missing: key, desired state and reports of this agent are kept there');
}

function namespaceName(value: string): string {
  if (/^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$/.test(value)) return value;
  throw new InvalidArgumentError('the name of a namespace: lower case letters, digits and -');
}

function namespaceNames(value: string): readonly string[] {
  return value === 'none' ? [] : value.split(',').map((name) => namespaceName(name.trim()));
}
