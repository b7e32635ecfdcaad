import type { MachineOrder, RackReport } from '@selvedge/api';
import { type BoxSigns, cleanSigns, findImpostor, findKnownBox, matchOrders } from './box-identity.ts';
import type { ClaimedMachine } from './check-asker.ts';
import type { MachineKeeper } from './machine-keeper.ts';
import { type MachineRecord, without } from './machine-record.ts';
import { withConflict } from './take-event.ts';
import { TurnedAwayBoxes } from './turned-away-boxes.ts';

/** Boxes that nobody wants, at most: more are noise, or an attack. */
const mostUnknownBoxes = 200;

/** Of them at one address whose true MAC address is known to be another. */
const mostBoxesAtAddress = 8;

/** Who a box is, among those that are wanted, remembered, or seen before. Conflicts are noted on all that they concern. */
export class BoxFinder {
  readonly #keeper: MachineKeeper;
  readonly #orders: () => readonly MachineOrder[];
  readonly #turnedAway = new TurnedAwayBoxes();

  constructor(keeper: MachineKeeper, orders: () => readonly MachineOrder[]) {
    this.#keeper = keeper;
    this.#orders = orders;
  }

  /** @returns the key of its record; undefined: it fits none, and is not to be remembered, or is one of several. */
  find(
    shown: BoxSigns,
    at?: { readonly address: string; readonly isMadeUp: boolean },
  ): { key: string | undefined; signs: BoxSigns } {
    const signs = cleanSigns(shown);
    if (signs.macAddresses.length === 0) return { key: undefined, signs };
    const orders = this.#orders();
    const match = matchOrders(orders, signs);
    if (match.kind === 'Conflict') {
      for (const uid of match.uids) this.#conflict(uid, match.message);
      return { key: undefined, signs };
    }
    if (match.kind === 'One') return { key: this.#ofOrder(match.uid, signs), signs };
    return { key: this.#ofNobody(signs, at), signs };
  }

  /** Boxes that came of late and are not remembered, as there are too many; undefined: none. */
  discoveryFull(): RackReport['discoveryFull'] {
    const turnedAway = this.#turnedAway.since(this.#keeper.now);
    return turnedAway && { limit: mostUnknownBoxes, ...turnedAway };
  }

  /** Every machine that a box would be taken for, or be in conflict with, by what it shows. */
  claimed(shown: BoxSigns): readonly ClaimedMachine[] {
    const signs = cleanSigns(shown);
    const match = matchOrders(this.#orders(), signs);
    const uids = match.kind === 'One' ? [match.uid] : match.kind === 'Conflict' ? match.uids : [];
    if (uids.length === 0) {
      const record = findKnownBox(this.#unwanted(), signs);
      return record === undefined ? [] : [{ record }];
    }
    return uids.map((uid) => ({
      order: this.#orders().find((order) => order.uid === uid),
      record: this.#keeper.find(uid),
    }));
  }

  /** Of a port that a box was seen with. */
  findByMac(macAddress: string): MachineRecord | undefined {
    const uid = this.#orders().find(({ identity }) => identity.macAddresses?.includes(macAddress))?.uid;
    const wanted = uid === undefined ? undefined : this.#keeper.find(uid);
    return wanted ?? this.#keeper.all().find(({ seen }) => seen.macAddresses?.includes(macAddress));
  }

  /** The order names machines that were found as boxes before: what is known of them goes with them. */
  adopt(): void {
    for (const { uid, identity } of this.#orders()) {
      if (this.#keeper.find(uid) !== undefined) continue;
      const signs = cleanSigns({
        macAddresses: identity.macAddresses ?? [],
        uuid: identity.uuid,
        serial: identity.serials?.[0],
      });
      this.#takeOver(uid, signs);
    }
  }

  #ofOrder(uid: string, signs: BoxSigns): string | undefined {
    if (this.#keeper.find(uid) === undefined) this.#takeOver(uid, signs);
    const record = this.#keeper.find(uid);
    const identity = this.#orders().find((one) => one.uid === uid)?.identity;
    const impostor = record && findImpostor(record, identity, signs);
    if (impostor === undefined) return uid;
    this.#conflict(uid, impostor);
    return undefined;
  }

  #takeOver(uid: string, signs: BoxSigns): void {
    const known = findKnownBox(this.#unwanted(), signs);
    if (known === undefined) return;
    // Deleted at the hub and made again, or lost with it: what runs on it runs on.
    const isMachine = !known.key.startsWith(boxPrefix);
    this.#keeper.rename(known.key, uid, (record) => {
      // Another Machine counts its generations anew.
      const own = without(record, 'generation', 'isHeldBack');
      return isMachine ? { ...own, isAdopted: true } : own;
    });
  }

  /** Records that no order names. */
  #unwanted(): MachineRecord[] {
    const wanted = new Set(this.#orders().map(({ uid }) => uid));
    return this.#keeper.all().filter(({ key }) => !wanted.has(key));
  }

  #ofNobody(
    signs: BoxSigns,
    at?: { readonly address: string; readonly isMadeUp: boolean },
  ): string | undefined {
    const known = findKnownBox(this.#unwanted(), signs);
    if (known !== undefined) {
      const impostor = findImpostor(known, undefined, signs);
      if (impostor === undefined) return this.#found(known, signs);
      this.#conflict(known.key, impostor);
      return undefined;
    }
    const boxes = this.#unwanted().filter(({ key }) => key.startsWith(boxPrefix));
    // Somebody who makes up MAC addresses must not take the place of true boxes.
    const macAddress = signs.macAddresses[0] ?? '';
    const there = boxes.filter(({ seen }) => seen.address !== undefined && seen.address === at?.address);
    // There may be room for others: no reason to say that there is none.
    if (at?.isMadeUp === true && there.length >= mostBoxesAtAddress) return undefined;
    if (boxes.length >= mostUnknownBoxes) {
      const oldest = boxes.toSorted((a, b) =>
        (a.lastSeen?.time ?? '') < (b.lastSeen?.time ?? '') ? -1 : 1,
      )[0];
      const dayAgo = new Date(Date.parse(this.#keeper.now) - 86_400_000).toISOString();
      if (oldest === undefined || (oldest.lastSeen?.time ?? '') > dayAgo) {
        return this.#turnAway(macAddress);
      }
      this.#keeper.forget(oldest.key);
    }
    return `${boxPrefix}${macAddress}`;
  }

  #turnAway(macAddress: string): undefined {
    this.#turnedAway.add(macAddress, this.#keeper.now);
    return undefined;
  }

  /** A machine that nobody wants any more, and that nothing was written to, is a new box. */
  #found(known: MachineRecord, signs: BoxSigns): string {
    if (known.key.startsWith(boxPrefix)) return known.key;
    const isBare =
      known.provisioned === undefined && known.written === undefined && known.phase !== 'Provisioned';
    if (!isBare || known.phase === 'Rescue' || known.phase === 'Broken') return known.key;
    this.#keeper.forget(known.key);
    return `${boxPrefix}${signs.macAddresses[0] ?? ''}`;
  }

  #conflict(key: string, message: string): void {
    this.#keeper.change(key, (record) => withConflict(record, message, this.#keeper.now));
  }
}

export const boxPrefix = 'box:';
