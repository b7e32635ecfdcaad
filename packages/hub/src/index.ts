/**
 * The hub: one process that serves the Kubernetes-style API of our kinds, runs the controllers that turn Applications
 * into assignments of sites, and is the only door through which sites speak to us.
 *
 * - `server/` composes everything; its start and stop order is one list in `start-hub.ts`.
 * - `identity/` makes and keeps the keys by which agents and people know this hub.
 * - `gateway/` is what agents speak: enrolment, the sync long-poll, content by digest.
 * - `resources/` declares the kinds to the API server, `controllers/` keep them true, `rollout/` plans purely.
 *
 * `runHub` is the program behind `selvedge hub`; `startHub` gives tests and the quickstart a hub in process.
 */
export { DataDirectoryError } from './identity/private-file.ts';
export { HubOptionError, type HubOptions } from './server/hub-options.ts';
export { runHub } from './server/run-hub.ts';
export { type Hub, startHub } from './server/start-hub.ts';
