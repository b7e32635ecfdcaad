import { after, before, describe } from 'node:test';
import {
  type ClusterKind,
  clusterKinds,
  ClusterUnderTest,
  requireCluster,
  type SimulatedNode,
  SimulatedWorkloads,
} from '@selvedge/testkit';
import { KubernetesTestSite, type TestSiteOptions } from './kubernetes-test-site.ts';

/** What the tests of a suite share: one cluster with workloads; a site for each test. */
export interface DriverSuite {
  readonly cluster: ClusterUnderTest;
  readonly workloads: SimulatedWorkloads;
  /** Closed when the test is over, with `await using`. */
  openSite(options?: TestSiteOptions): Promise<KubernetesTestSite & AsyncDisposable>;
}

interface SuiteOptions {
  readonly nodes?: readonly SimulatedNode[];
  /** Default: all. */
  readonly kinds?: readonly ClusterKind[];
}

/** Runs the same tests on our own API server and on the real one; without KUBEBUILDER_ASSETS that one is skipped with its reason. */
export function describeOnClusters(
  name: string,
  { nodes, kinds = clusterKinds }: SuiteOptions,
  define: (suite: () => DriverSuite) => void,
): void {
  for (const kind of kinds) {
    describe(`${name} on ${kind}`, requireCluster(kind), () => {
      let suite: DriverSuite | undefined;
      before(async () => {
        const cluster = await ClusterUnderTest.start(kind);
        const workloads = await SimulatedWorkloads.start(cluster, nodes ? { nodes } : {});
        const openSite = async (options?: TestSiteOptions) => {
          const site = await KubernetesTestSite.open(cluster, options);
          return Object.assign(site, { [Symbol.asyncDispose]: () => site.close() });
        };
        suite = { cluster, workloads, openSite };
      });
      after(async () => {
        await suite?.workloads.close();
        await suite?.cluster.close();
      });
      define(() => {
        if (!suite) throw new Error('the cluster is not there yet');
        return suite;
      });
    });
  }
}
