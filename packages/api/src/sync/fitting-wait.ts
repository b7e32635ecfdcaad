import type { ItemReport, Waiting } from './sync-protocol.ts';

type Reason = Waiting['reason'];
type DeliveryState = ItemReport['state'];

const beforePrepared: ReadonlySet<Reason> = new Set(['DownloadWindow', 'Blackout', 'SiteHold', 'HubHold']);
const untilActivation: ReadonlySet<Reason> = new Set([
  'ActivateWindow',
  'Blackout',
  'Instant',
  'Hub',
  'SiteHold',
  'HubHold',
]);
const fitting: { readonly [State in DeliveryState]?: ReadonlySet<Reason> } = {
  Pending: beforePrepared,
  Preparing: beforePrepared,
  Prepared: untilActivation,
};

/** What a report says that it waits for, when that can be in its state: who has activated waits for nothing. */
export function fittingWait({ state, waiting }: Pick<ItemReport, 'state' | 'waiting'>): Waiting | undefined {
  return waiting !== undefined && fitting[state]?.has(waiting.reason) === true ? waiting : undefined;
}
