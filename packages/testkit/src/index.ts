/**
 * What tests need and products do not: a clock that is moved by hand, sites with a Podman of their own, links that
 * can be cut, and the question whether this machine has what a test needs. Imported by tests, the quickstart and
 * the bench programs only; it may import every other package.
 */
export { type OpenClient, objectClientConformance } from './conformance/object-client-conformance.ts';
export { fleetStoreConformance } from './conformance/fleet-store-conformance.ts';
export { objectStoreConformance } from './conformance/object-store-conformance.ts';
export type { CreateTestDatabase, OpenStore, TestDatabase } from './conformance/store-under-test.ts';
export { FakeClock } from './fake-clock.ts';
export {
  type PodmanTestbed,
  type PodmanTestbedOptions,
  type PodmanUser,
  hasMixedCgroups,
  startPodmanTestbed,
} from './podman-testbed.ts';
export { findTool, getTool, requireTool, unpackedToolsDir } from './require-tool.ts';
export { findStaticBusybox } from './static-busybox.ts';
export { startTcpLink, type TcpLink } from './tcp-link.ts';
