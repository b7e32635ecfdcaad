import { type AuditPolicy, parseAuditPolicy } from './audit-policy.ts';

/**
 * Who changed what, and who read secrets: one line for each, never a body. Reads of anything else are most of the
 * traffic and answer few questions afterwards; reviews ask and change nothing; leases and events are the noise of programs.
 * What goes through to a site is recorded whatever it is, and from its first moment.
 */
const text = `
apiVersion: audit.k8s.io/v1
kind: Policy
omitManagedFields: true
rules:
  - level: None
    resources:
      - group: coordination.k8s.io
        resources: [leases]
      - resources: [events]
      - group: events.k8s.io
        resources: [events]
      - group: authorization.k8s.io
      - group: authentication.k8s.io
  - level: Metadata
    resources:
      - group: selvedge.dev
        resources: [sites/proxy]
  - level: Metadata
    omitStages: [RequestReceived]
    resources:
      - resources: [secrets, serviceaccounts/token]
  - level: Metadata
    omitStages: [RequestReceived]
    nonResourceURLs: ["/selvedge/*"]
  - level: None
    verbs: [get, list, watch, head, options]
  - level: Metadata
    omitStages: [RequestReceived]
`;

let parsed: AuditPolicy | undefined;

export function defaultAuditPolicy(): AuditPolicy {
  return (parsed ??= parseAuditPolicy(text));
}
