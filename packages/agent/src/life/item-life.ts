import type { DriverReport } from '../drivers/driver.ts';
import { type DriverView, freshDriver, type ItemDecision } from './item-facts.ts';
import type { ItemMemory } from './item-memory.ts';
import type { SecretVersions } from './item-secrets.ts';
import type { UnnumberedAct } from './local-acts.ts';
import type { ItemName } from './memory-store.ts';

/** One item as this process knows it. */
export interface ItemLife extends ItemName {
  memory: ItemMemory;
  driver: DriverView;
  decision: ItemDecision | undefined;
  decidedAtMs: number;
  /** The disk is full: what is in memory goes on. */
  isUnsaved: boolean;
  unsavedActs: UnnumberedAct[];
  /** Versions of Secrets that the driver was given last, with the content that they are for. */
  given: { readonly digest: string; readonly versions: SecretVersions } | undefined;
  /** Values of the site that the driver was given last. */
  values: string | undefined;
  /** Other values were given, and whether the driver has begun to bring them into force; undefined: they are. */
  renewal: 'Given' | 'Begun' | undefined;
}

export function newLife({ id, uid }: ItemName, memory: ItemMemory): ItemLife {
  return {
    id,
    uid,
    memory,
    driver: freshDriver,
    decision: undefined,
    decidedAtMs: Number.POSITIVE_INFINITY,
    isUnsaved: false,
    unsavedActs: [],
    given: undefined,
    values: undefined,
    renewal: undefined,
  };
}

/** Notes with which values of the site the driver is to run it. */
export function noteValues(life: ItemLife, values: unknown): void {
  const text = JSON.stringify(values);
  if (life.values !== undefined && life.values !== text) life.renewal = 'Given';
  life.values = text;
}

/** Values in use come into force by way of other states; a word that is `Running` throughout may be of before. */
export function noteSaid(life: ItemLife, { state }: Pick<DriverReport, 'state'>): void {
  if (life.renewal === undefined) return;
  if (state !== 'Running') life.renewal = 'Begun';
  else if (life.renewal === 'Begun') life.renewal = undefined;
}

export function isSameMemory(a: ItemMemory, b: ItemMemory): boolean {
  return a === b || JSON.stringify(a) === JSON.stringify(b);
}
