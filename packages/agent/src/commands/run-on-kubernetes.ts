import { join } from 'node:path';
import { inClusterAccess, type KubeAccess, kubeconfigAccess } from '@selvedge/kube';
import { type AgentOptions, type DriverContext, runAgent } from '../agent.ts';
import { createKubeApi } from '../drivers/kubernetes/api/http-kube-api.ts';
import type { KubeApi } from '../drivers/kubernetes/api/kube-api.ts';
import { createKubernetesDriver } from '../drivers/kubernetes/kubernetes-driver.ts';
import { leaseName, loadLeaseIdentity } from '../drivers/kubernetes/lease/agent-identity.ts';
import { LeaseGuard } from '../drivers/kubernetes/lease/lease-guard.ts';
import { makePrivateDirectory } from '../state/atomic-file.ts';
import { SecretStateKeeper, StateOvertaken } from '../state/in-cluster/secret-state-keeper.ts';
import type { KubernetesFlags } from './kubernetes-flags.ts';

export interface KubernetesRunOptions {
  readonly agent: Omit<AgentOptions, 'createDriver' | 'keeper'>;
  readonly flags: KubernetesFlags;
  /** Of this process, for credential plugins and the address of the API in a pod. */
  readonly environment: Readonly<Record<string, string | undefined>>;
  /** Where the pod's service account is mounted, when not at the usual place. */
  readonly serviceAccountDirectory?: string;
}

const defaultNamespace = 'selvedge-system';
const stateLease = 'selvedge-agent-state';

/** Runs an agent with the Kubernetes driver until the signal fires. */
export async function runOnKubernetes(options: KubernetesRunOptions, signal: AbortSignal): Promise<void> {
  const { agent, flags } = options;
  const { clock, stateDir } = agent;
  const logger = agent.logger.child({ component: 'kubernetes' });
  const { access, namespace = defaultNamespace } = await openAccess(options);
  const api = createKubeApi({ access, clock, logger });
  await makePrivateDirectory(stateDir);
  const identity = await loadLeaseIdentity(stateDir, agent.machine.hostname);
  const guards = new Guards({ api, namespace, identity, clock, logger }, signal);
  const over = new AbortController();
  const either = AbortSignal.any([signal, over.signal]);
  const createDriver = (context: DriverContext) =>
    createKubernetesDriver({
      ...context,
      access,
      namespace,
      stateDir: join(stateDir, 'kubernetes'),
      guard: guards.ofSite(context.site.uid),
      ...(flags.mirrorNamespaces === undefined ? {} : { mirrorNamespaces: flags.mirrorNamespaces }),
      clock,
      logger,
    });
  try {
    if (flags.stateSecret !== true) {
      await runAgent({ ...agent, createDriver }, signal);
      return;
    }
    // First of all: of two pods only one may read and write what is kept.
    await guards.ofState((holder) =>
      over.abort(new StateOvertaken(`another agent (${holder}) has taken over`)),
    );
    const keeper = new SecretStateKeeper({ api, namespace, stateDir, identity, clock, logger });
    await runAgent({ ...agent, createDriver, keeper }, either);
    if (over.signal.aborted) throw over.signal.reason;
  } finally {
    await guards.stop();
    api.close();
  }
}

async function openAccess(
  options: KubernetesRunOptions,
): Promise<{ access: KubeAccess; namespace?: string }> {
  const { flags, environment, serviceAccountDirectory } = options;
  const { clock } = options.agent;
  const asked = flags.namespace === undefined ? {} : { namespace: flags.namespace };
  if (flags.inCluster === true) {
    const directory = serviceAccountDirectory === undefined ? {} : { directory: serviceAccountDirectory };
    const access = await inClusterAccess({ environment, clock, ...directory });
    return { access, ...(access.namespace === undefined ? {} : { namespace: access.namespace }), ...asked };
  }
  const path = flags.kubeconfig ?? '';
  const context = flags.context === undefined ? {} : { context: flags.context };
  return { access: await kubeconfigAccess({ path, ...context, environment, clock }), ...asked };
}

type GuardOptions = Omit<ConstructorParameters<typeof LeaseGuard>[0], 'name' | 'api' | 'predecessor'> & {
  readonly api: KubeApi;
};

/** The Leases of this run. They outlive the drivers, which only ask them. */
class Guards {
  readonly #options: GuardOptions;
  readonly #signal: AbortSignal;
  readonly #guards = new Map<string, LeaseGuard>();

  constructor(options: GuardOptions, signal: AbortSignal) {
    this.#options = options;
    this.#signal = signal;
  }

  ofSite(siteUid: string): LeaseGuard {
    return this.#start(leaseName(siteUid));
  }

  /** Resolves when it is held, or when the signal fires. */
  async ofState(onLost: (holder: string) => void): Promise<void> {
    const guard = this.#start(stateLease);
    await guard.waitUntilHeld(this.#signal);
    guard.onChange(() => {
      const other = guard.findOther();
      if (other !== undefined) onLost(other.identity);
    });
  }

  /** Gives the Leases back: whoever comes next need not wait. */
  async stop(): Promise<void> {
    await Promise.all([...this.#guards.values()].map((guard) => guard.stop()));
  }

  #start(name: string): LeaseGuard {
    const known = this.#guards.get(name);
    if (known !== undefined) return known;
    const predecessor = this.#guards.get(stateLease)?.predecessor;
    const guard = new LeaseGuard({ ...this.#options, name, predecessor });
    this.#guards.set(name, guard);
    guard.start(this.#signal);
    return guard;
  }
}
