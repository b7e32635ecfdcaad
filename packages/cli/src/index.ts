/**
 * The `selvedge` program: the fleet at a glance (`status`), the causal chain for one site and application (`why`),
 * sites and their tokens (`site …`), and the hub itself (`hub`). Everything else is done with kubectl.
 *
 * `main.ts` alone touches the process; `runCli` gets arguments, environment and streams, and returns an exit code.
 * Commands load what they need when they run, so `--help` is quick. What a command finds out is a plain object built
 * by a pure function (`buildStatusReport`, `explainDelivery`) that `-o json` prints as it is; rendering it for people
 * is another function.
 */
export { type CliProcess, runCli } from './program/run-cli.ts';
export { buildStatusReport, type StatusReport } from './status/status-report.ts';
export { explainDelivery, type WhyInput, type WhyReport } from './why/explain-delivery.ts';
