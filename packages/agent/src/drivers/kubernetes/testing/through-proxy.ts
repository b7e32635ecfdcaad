import type { KubeAccess } from '@selvedge/kube';
import type { ClusterUnderTest, FaultProxy } from '@selvedge/testkit';

/** The administrator's access, by way of the proxy. */
export function throughProxy(cluster: ClusterUnderTest, proxy: FaultProxy): KubeAccess {
  return { ...cluster.access, server: proxy.url, tls: { ca: proxy.ca } };
}
