import type { BmcQuirkName, Clock } from '@selvedge/api';
import { badRequest, RedfishError } from './redfish-error.ts';

interface Slot {
  readonly id: string;
  readonly mediaTypes: readonly string[];
  /** Takes images; else it belongs to the BMC itself. */
  readonly isOpen: boolean;
  image: string | null;
  /** Shown until then although it was ejected. */
  lingersUntil: number;
  /** Not shown before although it was inserted. */
  showsFrom: number;
}

export interface EmulatedMediaOptions {
  readonly has: (quirk: BmcQuirkName) => boolean;
  readonly clock: Clock;
}

/** Virtual media of one BMC. */
export class EmulatedMedia {
  readonly #options: EmulatedMediaOptions;
  readonly #slots: readonly Slot[];

  constructor(options: EmulatedMediaOptions) {
    this.#options = options;
    const internal = options.has('InternalMediaSlots')
      ? [slot('Internal0', false), slot('Internal1', false)]
      : [];
    this.#slots = [...internal, slot('Cd1', true)];
  }

  get slotIds(): readonly string[] {
    return this.#slots.map(({ id }) => id);
  }

  /** What is inserted, whichever slot has it. */
  get image(): string | null {
    return this.#slots.find(({ image }) => image !== null)?.image ?? null;
  }

  /** As it reads, without its actions; undefined: there is no such slot. */
  read(id: string): { mediaTypes: readonly string[]; image: string | null; hasActions: boolean } | undefined {
    const found = this.#slots.find((candidate) => candidate.id === id);
    if (!found) return undefined;
    const lingers = found.image === null && this.#now() < found.lingersUntil;
    return {
      mediaTypes: found.mediaTypes,
      image: lingers ? 'ejected' : this.#now() < found.showsFrom ? null : found.image,
      hasActions: found.isOpen && !this.#options.has('MediaByPatch'),
    };
  }

  insert(id: string, request: Readonly<Record<string, unknown>>): void {
    const { has } = this.#options;
    const found = this.#get(id);
    if (!found.isOpen)
      throw new RedfishError(405, 'Base.1.12.ActionNotSupported', 'This slot takes no image.');
    if (has('MediaNeedsLicence'))
      throw new RedfishError(403, 'Oem.1.0.LicenseRequired', 'A licence is required for virtual media.');
    if (has('ImageOnlyInsert') && ('Inserted' in request || 'WriteProtected' in request))
      throw badRequest('Inserted is not a parameter of the action.', 'Base.1.12.ActionParameterUnknown');
    if (has('MediaNeedsLogin') && !(request['UserName'] && request['Password'])) throw missing('UserName');
    if (has('MediaNeedsTransferMethod') && !(request['TransferProtocolType'] && request['TransferMethod']))
      throw missing('TransferProtocolType');
    if (typeof request['Image'] !== 'string') throw missing('Image');
    if (found.image !== null || this.#now() < found.lingersUntil)
      throw new RedfishError(409, 'Base.1.12.ResourceInUse', 'Media is inserted already.');
    found.image = request['Image'];
    if (has('TaskMonitorWrong')) found.showsFrom = this.#now() + 3_000;
  }

  eject(id: string, body: unknown): void {
    const { has } = this.#options;
    if (has('EjectNeedsBody') && (typeof body !== 'object' || body === null))
      throw badRequest('A body is required.', 'Base.1.12.MalformedJSON');
    const found = this.#get(id);
    if (found.image === null) return;
    found.image = null;
    if (has('EjectLags')) found.lingersUntil = this.#now() + 5_000;
  }

  /** As PATCH of the slot, where there are no actions. */
  patch(id: string, change: Readonly<Record<string, unknown>>): void {
    if (!this.#options.has('MediaByPatch'))
      throw new RedfishError(405, 'Base.1.12.OperationNotAllowed', 'Use the actions of this slot.');
    if (change['Image'] === null || change['Inserted'] === false) return this.eject(id, {});
    if (change['Inserted'] !== true) throw missing('Inserted');
    return this.insert(id, change);
  }

  #get(id: string): Slot {
    const found = this.#slots.find((candidate) => candidate.id === id);
    if (!found) throw new RedfishError(404, 'Base.1.12.ResourceMissingAtURI', `There is no slot ${id}.`);
    return found;
  }

  #now(): number {
    return this.#options.clock.now().getTime();
  }
}

function slot(id: string, isOpen: boolean): Slot {
  return { id, mediaTypes: ['CD', 'DVD'], isOpen, image: null, lingersUntil: 0, showsFrom: 0 };
}

function missing(name: string): RedfishError {
  return badRequest(`${name} is missing.`, 'Base.1.12.ActionParameterMissing');
}
