import type { Machine, MachineInventory } from '@selvedge/api';
import { compileConditionOver, type ConditionOver } from '@selvedge/api/cel';

/** What expressions of MachineTags and MachineClaims speak of. */
export type MachineExpression = ConditionOver<'machine' | 'inventory'>;

/** Throws an Error with one line that says why it cannot be used. */
export function checkMachineExpression(text: string): void {
  compileMachineExpression(text);
}

/** CEL over `machine` (name, site, labels) and `inventory` (`status.inventory`). Throws an Error with one line. */
export function compileMachineExpression(text: string): MachineExpression {
  return compileConditionOver(['machine', 'inventory'], text);
}

/** Throws when the expression has no answer for this machine: a field that it reads is not there. */
export function holdsFor(expression: MachineExpression, { metadata, spec, status }: Machine): boolean {
  const inventory: Partial<MachineInventory> = status?.inventory ?? {};
  const machine = { name: metadata.name, site: spec.siteName, labels: metadata.labels ?? {} };
  return expression.evaluate({ machine, inventory });
}
