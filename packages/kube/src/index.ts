/**
 * A thin Kubernetes client and the small runtime that controllers stand on.
 *
 * Client: `loadKubeconfig` says where an API is and who we are, `createHttpClient` speaks to it and implements the
 * `ObjectClient` of `@selvedge/api`, watch included.
 *
 * Runtime: an informer keeps a local copy of one kind by list and watch; a work queue holds the keys that want work,
 * each at most once and with one worker at a time; `runController` takes keys from sources and calls a level-based
 * `reconcile` for each, retrying errors with back-off. Nothing here knows a kind of ours, and time is a `Clock`.
 */
export {
  createHttpClient,
  type Download,
  type HttpClient,
  type HttpClientOptions,
  type RawRequest,
} from './client/http-client.ts';
export {
  type InClusterAccess,
  type InClusterAccessOptions,
  inClusterAccess,
} from './client/in-cluster-access.ts';
export type { KubeAccess, KubeTls } from './client/kube-access.ts';
export { type KubeconfigAccessOptions, kubeconfigAccess } from './client/kubeconfig-access.ts';
export { type Kubeconfig, loadKubeconfig } from './client/kubeconfig.ts';
export { type KubeconfigContext, openContext } from './client/kubeconfig-file.ts';
export { resourcePath } from './client/resource-path.ts';
export { type BackoffOptions, backoffMilliseconds } from './controller/backoff.ts';
export {
  type ControllerOptions,
  type KeySource,
  keysFromInformer,
  type ReconcileContext,
  type ReconcileResult,
  runController,
  TerminalError,
} from './controller/controller.ts';
export {
  createInformer,
  type Informer,
  type InformerHandlers,
  type InformerOptions,
} from './controller/informer.ts';
export { keyOfName, keyOfObject, nameOfKey } from './controller/object-key.ts';
export { createWorkQueue, type WorkQueue, type WorkQueueOptions } from './controller/work-queue.ts';
export { formatManifests } from './manifest-text.ts';
