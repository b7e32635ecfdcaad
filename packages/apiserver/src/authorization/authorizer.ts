import type { PolicyRule } from '@selvedge/api';
import type { UserInfo } from '../authentication/user-info.ts';

/** What somebody wants to do to a resource. */
export interface ResourceAttributes {
  /** `get`, `list`, `watch`, `create`, `update`, `patch`, `delete`, `deletecollection`, or a special one (`escalate`, `bind`, `impersonate`, …). */
  readonly verb: string;
  readonly group: string;
  readonly version?: string;
  readonly resource: string;
  readonly subresource?: string | undefined;
  readonly namespace?: string | undefined;
  readonly name?: string | undefined;
}

/** … or to a path that is no resource. */
export interface PathAttributes {
  /** HTTP method in lower case. */
  readonly verb: string;
  readonly path: string;
}

export type Attributes = ResourceAttributes | PathAttributes;

export interface Decision {
  readonly allowed: boolean;
  /** For SubjectAccessReview and the audit log: which rule allowed it; '' when nothing did. */
  readonly reason: string;
}

/**
 * Says who may do what. Answers from memory, at once: it follows the stored rules and may be some milliseconds behind
 * them, as in Kubernetes.
 */
export interface Authorizer {
  decide(user: UserInfo, attributes: Attributes): Decision;
  /** Every rule that holds for the user in the namespace, or with `undefined` at the cluster scope; may repeat itself. */
  rulesOf(user: UserInfo, namespace: string | undefined): readonly PolicyRule[];
}
