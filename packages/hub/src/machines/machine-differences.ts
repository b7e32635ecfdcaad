import { isDeepStrictEqual } from 'node:util';
import type { Machine, MachineOrder, RackOrder, Site } from '@selvedge/api';
import { machineOrder } from './rack-order.ts';

/** A machine of which the site was told something else than the hub would tell it now. */
export type MachineDifference = NonNullable<
  NonNullable<NonNullable<Site['status']>['hubBehind']>['machines']
>[number];

/**
 * What a site's rack follows of machines, beside what the hub has of them. Pure. Boxes that nobody has accepted, and machines that the hub has lost, are left as they are in any
 * case and left out here. Sorted by name.
 */
export function machineDifferences(
  followed: RackOrder | undefined,
  own: readonly Machine[],
): MachineDifference[] {
  const theirs = new Map((followed?.machines ?? []).map((order) => [order.uid, order]));
  return own
    .map(machineOrder)
    .filter(({ accepted }) => accepted)
    .flatMap((order): MachineDifference[] => {
      const told = theirs.get(order.uid);
      if (told !== undefined && isDeepStrictEqual(comparable(told), comparable(order))) return [];
      return [{ name: order.name, followed: told ? textOf(told) : 'nothing', wanted: textOf(order) }];
    })
    .toSorted((a, b) => (a.name < b.name ? -1 : 1));
}

/** Protection only keeps from doing things; a rack that knows the machine does not look at what the hub knows of it. */
function comparable(order: MachineOrder): Partial<MachineOrder> {
  const { isProtected: _, known: __, ...rest } = order;
  return rest;
}

function textOf({ provision, allocated, erase, wipeConsent, generation }: MachineOrder): string {
  const parts = [
    provision === undefined ? 'no image' : `image ${provision.image} as ${provision.instanceId}`,
    ...(allocated ? ['allocated'] : []),
    ...(erase === 'None' ? [] : [`erase ${erase}`]),
    ...(wipeConsent ? ['consent to wipe'] : []),
  ];
  return `${parts.join(', ')} (generation ${generation})`;
}
