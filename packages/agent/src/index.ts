/**
 * The agent: one per site, one process, its own state directory, no other needs.
 *
 * `identity` is the key that the agent made and the tokens it signs requests with. `hub-connection` is the way to the
 * hub: HTTPS from here to there only, through proxies, with any clock. `enrolment` joins a site once. `state` is what survives
 * a power cut: the accepted desired state, content, reports, orders to remove. `sync` is the conversation with the hub;
 * what it accepts it hands to `drivers`, which make it so on this machine and report back. Neither waits for the other.
 *
 * At start the drivers get the last accepted state before the hub is asked for anything, so a site comes back
 * after a reboot with nobody's help. Only a signed tombstone removes something; what is older, unsigned or meant for
 * another site changes nothing.
 */
export { type AgentOptions, type DriverContext, runAgent } from './agent.ts';
export { type AgentStatus, type ItemStatus, readStatus } from './commands/read-status.ts';
export type { Driver, DriverItem, DriverReport, RemovalOrder } from './drivers/driver.ts';
export { EnrolmentRefused } from './enrolment/enrolment-refused.ts';
export { noProxy, type ProxySettings, readProxySettings } from './hub-connection/proxy-settings.ts';
