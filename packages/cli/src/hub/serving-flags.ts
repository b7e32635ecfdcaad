import type { Command } from 'commander';

/** The flags of `selvedge hub` that say how requests are bounded and recorded. Those of kube-apiserver have its names. */
export function addServingFlags(hub: Command): Command {
  return hub
    .option('--max-requests-inflight <n>', 'API requests in work at once (default 100)')
    .option('--max-watches <n>', 'open watches; one user may have half of them (default 10000)')
    .option('--max-connections <n>', 'open connections (default 20000)')
    .option('--max-objects-per-kind <n>', 'objects of one kind; more are refused (default 250000)')
    .option('--shutdown-delay <duration>', 'serve on while /readyz already fails (default 0s)')
    .option('--audit-log-path <file>', 'audit log; - for standard output, or none (default DATA/audit.log)')
    .option('--audit-policy-file <file>', 'what to record, as audit.k8s.io/v1 Policy (default: changes)')
    .option('--audit-log-maxsize <MiB>', 'size at which the file is set aside; 0: never (default 64)')
    .option('--audit-log-maxbackup <n>', 'files that are kept of those; 0: all (default 3)');
}
