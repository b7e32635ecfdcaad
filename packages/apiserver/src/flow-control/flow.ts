import type { UserInfo } from '../authentication/user-info.ts';

/** Classes of users, from the most to the least urgent. */
export type PriorityLevel = 'system' | 'administrators' | 'users';

/** Requests that compete as one. */
export interface FlowKey {
  readonly level: PriorityLevel;
  readonly name: string;
}

/** How much of the server's work a flow gets, against others that want some at the same time. */
export const weightOf: Readonly<Record<PriorityLevel, number>> = { system: 8, administrators: 4, users: 1 };

const serviceAccount = /^system:serviceaccount:([^:]+):/;

/** A user is a flow; the service accounts of a namespace are one together, for anybody may make more of them. */
export function flowOf(user: UserInfo): FlowKey {
  const [, namespace] = serviceAccount.exec(user.name) ?? [];
  const name = namespace === undefined ? `user ${user.name}` : `service accounts of ${namespace}`;
  return { level: levelOf(user), name };
}

function levelOf({ name, groups }: UserInfo): PriorityLevel {
  if (name.startsWith('system:selvedge:')) return 'system';
  return groups.includes('system:masters') ? 'administrators' : 'users';
}
