import { type Clock, isObject, type JsonObject } from '@selvedge/api';
import { PowerError } from '../power-driver.ts';
import type { QuirkSet } from '../quirk-set.ts';
import { readBoot } from './boot-request.ts';
import type { RedfishSystem } from './redfish-system.ts';
import { managersOf, membersOf, pathOf, type RedfishVisit, type Resource } from './redfish-visit.ts';
import { hasId, isLicence, powerErrorOf, type Refusal } from './refusal.ts';

export interface RedfishMediaOptions {
  readonly system: RedfishSystem;
  readonly visit: RedfishVisit;
  readonly quirks: QuirkSet;
  readonly clock: Clock;
  readonly signal: AbortSignal;
}

/** Ejected media may still be shown for a while. */
const ejectRounds = 10;
const ejectPauseMs = 3_000;
/** What it does as a task is shown a while later. */
const insertDelaysMs = [0, 1_000, 2_000, 4_000, 8_000];
/** Each refusal of an image may teach one more parameter. */
const mostInserts = 4;
const oemImport = '#OemManager.ImportSystemConfiguration';

/** Virtual media of one system during one visit. */
export class RedfishMedia {
  readonly #options: RedfishMediaOptions;

  constructor(options: RedfishMediaOptions) {
    this.#options = options;
  }

  /** Throws PowerError Unsupported when no slot takes an image, or the BMC wants a licence for it. */
  async bootFrom(image: URL): Promise<void> {
    const { quirks } = this.#options;
    let refused: Refusal | undefined;
    for (const slot of await this.#slots()) {
      await this.#ejectFrom(slot);
      const refusal = await this.#insert(slot, image);
      if (!refusal) {
        await this.#readBack(slot.path);
        return this.#bootDisc();
      }
      const error = powerErrorOf(refusal, 'The BMC refused the image');
      if (isLicence(refusal)) {
        quirks.found('MediaNeedsLicence');
        throw error;
      }
      if (![400, 404, 405, 501].includes(refusal.status)) throw error;
      quirks.found('InternalMediaSlots');
      refused = refusal;
    }
    if (refused) throw powerErrorOf(refused, 'No slot of the BMC took the image');
    throw new PowerError('Unsupported', 'The BMC has no virtual media.', { isPassing: false });
  }

  async eject(): Promise<void> {
    for (const slot of await this.#slots()) await this.#ejectFrom(slot);
  }

  /** Slots for discs: of the system, as newer services have it, or of its managers. */
  async #slots(): Promise<Resource[]> {
    const { system, visit } = this.#options;
    const { body } = await system.read();
    const own = pathOf(body['VirtualMedia']);
    const collections = own === undefined ? [] : [own];
    if (collections.length === 0) {
      for (const manager of managersOf(body)) {
        const path = pathOf((await visit.get(manager)).body['VirtualMedia']);
        if (path !== undefined) collections.push(path);
      }
    }
    const slots: Resource[] = [];
    for (const collection of collections)
      for (const path of membersOf((await visit.get(collection)).body['Members'])) {
        const slot = await visit.get(path);
        if (isForDiscs(slot.body)) slots.push(slot);
      }
    return slots;
  }

  async #insert(slot: Resource, image: URL): Promise<Refusal | undefined> {
    const { visit, quirks } = this.#options;
    const target = actionTarget(slot.body, 'InsertMedia');
    let refusal: Refusal | undefined;
    for (let round = 0; round < mostInserts; round += 1) {
      const request = this.#insertRequest(image);
      if (target === undefined) {
        refusal = await visit.patch(slot, { ...request, Inserted: true });
        if (!refusal) quirks.found('MediaByPatch');
      } else refusal = await visit.post(target, request);
      if (!refusal || !this.#learn(refusal)) return refusal;
    }
    return refusal;
  }

  /** Only what the BMC is known to want: others refuse what they do not know. */
  #insertRequest(image: URL): JsonObject {
    const { quirks } = this.#options;
    return {
      Image: image.href,
      ...(quirks.has('MediaNeedsTransferMethod')
        ? { TransferProtocolType: image.protocol.replace(':', '').toUpperCase(), TransferMethod: 'Stream' }
        : {}),
      // The boot server of the rack asks nobody for a login: any will do.
      ...(quirks.has('MediaNeedsLogin') ? { UserName: 'none', Password: 'none' } : {}),
    };
  }

  /** @returns whether there is something new to try. */
  #learn(refusal: Refusal): boolean {
    const { quirks } = this.#options;
    const isMissing = hasId(refusal, 'ActionParameterMissing') || hasId(refusal, 'PropertyMissing');
    if (!isMissing) return false;
    const before = quirks.names.length;
    if (/Transfer/.test(refusal.message)) quirks.found('MediaNeedsTransferMethod');
    if (/UserName|Password/.test(refusal.message)) quirks.found('MediaNeedsLogin');
    return quirks.names.length > before;
  }

  async #ejectFrom(slot: Resource): Promise<void> {
    const { visit, quirks, clock, signal } = this.#options;
    if (slot.body['Inserted'] !== true) return;
    const target = actionTarget(slot.body, 'EjectMedia');
    const refusal =
      target === undefined
        ? await visit.patch(slot, { Image: null, Inserted: false })
        : await visit.post(target, {});
    if (refusal) throw powerErrorOf(refusal, 'The BMC refused to eject its virtual media');
    for (let round = 0; round < ejectRounds; round += 1) {
      if ((await visit.get(slot.path)).body['Inserted'] !== true) return;
      quirks.found('EjectLags');
      await clock.sleep(ejectPauseMs, signal);
      signal.throwIfAborted();
    }
    throw new PowerError(
      'NotHonoured',
      'The BMC said that it ejects its virtual media, and still shows it.',
      {
        isPassing: true,
      },
    );
  }

  async #readBack(path: string): Promise<void> {
    const { visit, clock, signal } = this.#options;
    for (const delay of insertDelaysMs) {
      await clock.sleep(delay, signal);
      signal.throwIfAborted();
      if ((await visit.get(path)).body['Inserted'] === true) return;
    }
    throw new PowerError('NotHonoured', 'The BMC said yes to the image and does not show it.', {
      isPassing: true,
    });
  }

  async #bootDisc(): Promise<void> {
    const { system, quirks } = this.#options;
    const { body } = await system.read();
    const { targets } = readBoot(body);
    const hasOem = (await this.#oemTarget(body)) !== undefined;
    if (quirks.has('OemMediaBoot') || (hasOem && targets?.includes('Cd') === false))
      return this.#bootByOem(body);
    const isUsb = quirks.has('UsbCdTarget') && targets?.includes('UsbCd') !== false;
    await system.boot({ target: isUsb ? 'UsbCd' : 'Cd', isOnce: true });
  }

  /** Dell's import of a configuration that says: boot the virtual CD once. */
  async #bootByOem(system: JsonObject): Promise<void> {
    const { visit, quirks } = this.#options;
    const oem = await this.#oemTarget(system);
    if (oem === undefined)
      throw new PowerError('Unsupported', 'The BMC has no call of its own to boot virtual media.', {
        isPassing: false,
      });
    quirks.found('OemMediaBoot');
    const attributes = [
      '<Attribute Name="ServerBoot.1#BootOnce">Enabled</Attribute>',
      '<Attribute Name="ServerBoot.1#FirstBootDevice">VCD-DVD</Attribute>',
    ];
    const component = `<Component FQDD="${oem.manager}">${attributes.join('')}</Component>`;
    const refusal = await visit.post(oem.target, {
      ShareParameters: { Target: 'ALL' },
      ImportBuffer: `<SystemConfiguration>${component}</SystemConfiguration>`,
    });
    if (refusal) throw powerErrorOf(refusal, 'The BMC refused to boot virtual media');
  }

  async #oemTarget(system: JsonObject): Promise<{ target: string; manager: string } | undefined> {
    for (const path of managersOf(system)) {
      const { body } = await this.#options.visit.get(path);
      const actions =
        isObject(body['Actions']) && isObject(body['Actions']['Oem']) ? body['Actions']['Oem'] : {};
      const action = actions[oemImport];
      const target = isObject(action) ? action['target'] : undefined;
      if (typeof target === 'string')
        return { target, manager: path.split('/').filter(Boolean).at(-1) ?? '' };
    }
    return undefined;
  }
}

function isForDiscs({ MediaTypes: types }: JsonObject): boolean {
  return !Array.isArray(types) || types.includes('CD') || types.includes('DVD');
}

function actionTarget(slot: JsonObject, name: 'InsertMedia' | 'EjectMedia'): string | undefined {
  const action = isObject(slot['Actions']) ? slot['Actions'][`#VirtualMedia.${name}`] : undefined;
  const target = isObject(action) ? action['target'] : undefined;
  return typeof target === 'string' ? target : undefined;
}
