/** For suites and bench programs that need whole agents without a runtime; never part of the product. */
export { holdSite, type PersonAct, releaseSite, rollBackItem } from '../commands/person-acts.ts';
export { MemoryDriver } from './memory-driver.ts';
export { MemoryMachine } from './memory-machine.ts';
export { type Outcome, withOutcome } from './release-outcome.ts';
export { listLogger, type LogLine, startTestAgent, type TestAgent } from './test-agent.ts';
