import { ClusterUnderTest, requireCluster } from '@selvedge/testkit';
import { ApiUnderComparison } from './api-under-comparison.ts';

/** As options of node:test: skips where `KUBEBUILDER_ASSETS` (as for envtest) names no kube-apiserver and etcd. */
export function requireKubeApiserver(): { skip: string | false } {
  return requireCluster('kube-apiserver');
}

/** A true kube-apiserver with an etcd, on free loopback ports and data of its own, asked as an administrator. */
export async function startKubeApiserver(): Promise<ApiUnderComparison> {
  const cluster = await ClusterUnderTest.start('kube-apiserver');
  const { url, ca, access } = cluster;
  const authorization = (await access.authorization()) ?? '';
  return new ApiUnderComparison({
    name: cluster.name,
    url,
    headers: { authorization },
    ca: Buffer.from(ca),
    close: () => cluster.close(),
  });
}
