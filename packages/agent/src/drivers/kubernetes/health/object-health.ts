import type { ApplyRules } from '@selvedge/api';

/** As kstatus (sigs.k8s.io/cli-utils): whether the cluster has made an object what its spec says. */
export const healthStatuses = ['Current', 'InProgress', 'Failed', 'Terminating'] as const;

export interface ObjectHealth {
  readonly status: (typeof healthStatuses)[number];
  /** CamelCase, of the condition or rule that decided. */
  readonly reason?: string;
  /** For people; without the name of the object. */
  readonly message?: string;
  /** RFC 3339: of a failure that a later release may have cured without its status saying so yet. */
  readonly since?: string;
}

export type HealthRule = NonNullable<ApplyRules['health']>[number];
