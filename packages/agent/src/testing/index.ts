/** For suites and bench programs that need whole agents without a runtime; never part of the product. */
export {
  createKubernetesDriver,
  type KubernetesDriverOptions,
} from '../drivers/kubernetes/kubernetes-driver.ts';
export { openTestDepot, request as depotRequest } from '../depot/testing/depot-under-test.ts';
export { ImageRegistry } from '../depot/testing/image-registry.ts';
export { importSite, openDepotForImport } from '../commands/import-site.ts';
export { holdSite, type PersonAct, releaseSite, rollBackItem } from '../commands/person-acts.ts';
export { MemoryDriver } from './memory-driver.ts';
export { MemoryMachine } from './memory-machine.ts';
export { type Outcome, withOutcome } from './release-outcome.ts';
export { listLogger, type LogLine, startTestAgent, type TestAgent } from './test-agent.ts';
export { FakeBox, type FakeBoxOptions, type ReadTask } from '../rack/testing/fake-box.ts';
export { TestSite, type PodmanUnderTest } from '../drivers/podman/testing/test-site.ts';
export { acceptUpgrade } from '../link/streams/accept-upgrade.ts';
export { openStreams } from '../link/streams/open-streams.ts';
export type {
  CommandStreams,
  RemoteCommand,
  StreamBackend,
  StreamVerb,
} from '../link/streams/stream-backend.ts';
export { MachineBackend } from '../link/streams/testing/machine-backend.ts';
export { type DoorServer, serveDoor } from '../link/testing/door-server.ts';
