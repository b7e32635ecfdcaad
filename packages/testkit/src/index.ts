/**
 * What tests need and products do not: a clock that is moved by hand, sites with a Podman of their own, links that
 * can be cut, and the question whether this machine has what a test needs. Imported by tests, the quickstart and
 * the bench programs only; it may import every other package.
 */
export { type OpenClient, objectClientConformance } from './conformance/object-client-conformance.ts';
export { fleetStoreConformance } from './conformance/fleet-store-conformance.ts';
export { objectStoreConformance } from './conformance/object-store-conformance.ts';
export { crashRounds, type CrashOptions } from './conformance/crash-conformance.ts';
export { crashKeys, writeUntilKilled } from './conformance/write-until-killed.ts';
export { storeConformance } from './conformance/store-conformance.ts';
export {
  type CreateTestDatabase,
  type OpenOptions,
  plainResource,
  sensitiveResource,
  type TestDatabase,
} from './conformance/store-under-test.ts';
export { dockerRegistryLogin, type DockerRegistry, startDockerRegistry } from './docker-registry.ts';
export { loopbackCertificate } from './loopback-certificate.ts';
export { FakeClock } from './fake-clock.ts';
export { FakeEcr } from './fake-ecr.ts';
export { type OidcIssuer, startOidcIssuer } from './oidc-issuer.ts';
export {
  type PodmanTestbed,
  type PodmanTestbedOptions,
  type PodmanUser,
  hasMixedCgroups,
  startPodmanTestbed,
} from './podman-testbed.ts';
export {
  startTestPostgres,
  type TestPostgres,
  type TestPostgresDatabase,
  type TestPostgresOptions,
} from './postgres-server.ts';
export { findTool, getTool, requireTool, unpackedToolsDir } from './require-tool.ts';
export { SkippingClock } from './skipping-clock.ts';
export { findStaticBusybox } from './static-busybox.ts';
export { type LinkShape, startTcpLink, type TcpLink } from './tcp-link.ts';
export type { FuzzServer } from './http-fuzz/fuzz-connection.ts';
export { type FuzzOptions, type FuzzResult, fuzzHttp } from './http-fuzz/fuzz-http.ts';
export type { FuzzKind, FuzzTarget } from './http-fuzz/fuzz-request.ts';
export {
  accessBy,
  type ClusterKind,
  clusterKinds,
  ClusterUnderTest,
  requireCluster,
} from './kubernetes/cluster-under-test.ts';
export type { ClusterAbilities, ClusterCredential, ClusterUser } from './kubernetes/cluster-server.ts';
export { behaviourAnnotation, readyAfterAnnotation } from './kubernetes/simulated/pod-script.ts';
export { type SimulatedNode, SimulatedWorkloads } from './kubernetes/simulated/simulated-workloads.ts';
export { type Fault, FaultProxy, type FaultRule, type PassingRequest } from './kubernetes/fault-proxy.ts';
export { freePort, isPortFree } from './free-port.ts';
export { type GitHttpServer, type GitHttpServerOptions, startGitHttpServer } from './git/git-http-server.ts';
export {
  type CommitOptions,
  type CommittedFile,
  GitRepository,
  plainGitEnvironment,
} from './git/git-repository.ts';
export { type GitSshServer, startGitSshServer } from './git/git-ssh-server.ts';
