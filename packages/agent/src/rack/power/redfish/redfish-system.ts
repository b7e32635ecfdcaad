import {
  type BootMode,
  type Clock,
  fieldOf,
  isObject,
  type JsonObject,
  type PowerState,
} from '@selvedge/api';
import { offDeadlineMs, offPauseMs, type PowerAction, PowerError } from '../power-driver.ts';
import type { QuirkSet } from '../quirk-set.ts';
import { type BootWay, bootWays, isHonoured, type ReadBoot, readBoot } from './boot-request.ts';
import { pathOf, type RedfishVisit, type Resource } from './redfish-visit.ts';
import {
  hasId,
  isDuringPost,
  isForbidden,
  isForState,
  isPassing,
  powerErrorOf,
  type Refusal,
  refusalOf,
} from './refusal.ts';

export interface RedfishSystemOptions {
  readonly visit: RedfishVisit;
  /** Of the system: `/redfish/v1/Systems/1`. */
  readonly path: string;
  readonly quirks: QuirkSet;
  readonly clock: Clock;
  readonly signal: AbortSignal;
}

/** Refusals that may pass are asked again for so long in one visit, all together: firmware takes minutes to start. */
const patienceMs = 240_000;
/** The same where there is another way. */
const restartPatienceMs = 60_000;
/** An error inside the BMC: often the same request never goes through. */
const errorPatienceMs = 20_000;
/** A write that was taken may read otherwise for a moment. */
const readBackDelaysMs = [0, 1_000, 2_000, 4_000];
const unsettledDelaysMs = [1_000, 2_000, 4_000, 8_000];

/** One ComputerSystem during one visit. */
export class RedfishSystem {
  readonly #options: RedfishSystemOptions;
  /** So far, for refusals that might pass. */
  #waitedMs = 0;

  constructor(options: RedfishSystemOptions) {
    this.#options = options;
  }

  /** Throws PowerError. 404 may pass: some BMCs take a resource away while they work on it. */
  async read(): Promise<Resource> {
    const { visit, path, quirks } = this.#options;
    for (const delay of [1_000, 3_000, 6_000]) {
      const answer = await visit.tryGet(path);
      const refusal = refusalOf(answer);
      if (!refusal || (refusal.status !== 404 && !isPassing(refusal))) break;
      if (refusal.status === 404 && !quirks.has('NotFoundWhileJob')) break;
      await this.#sleep(delay);
    }
    return visit.get(path);
  }

  /** What lasts; while it changes it is read again. */
  async powerState(): Promise<PowerState> {
    for (const delay of unsettledDelaysMs) {
      const { body } = await this.read();
      const state = settledStateOf(body);
      if (state !== 'Unknown') return state;
      if (changingStateOf(body) === 'Unknown') this.#options.quirks.found('PowerStateUnsettled');
      await this.#sleep(delay);
    }
    return changingStateOf((await this.read()).body);
  }

  async turn(action: PowerAction): Promise<void> {
    if (action === 'ForcedCycle' && (await this.#forceCycle())) return;
    const state = await this.powerState();
    switch (action) {
      case 'On':
        return state === 'On' ? undefined : this.#turnOn();
      case 'Off':
        return state === 'Off' ? undefined : this.#turnOff();
      case 'GracefulOff':
        return state === 'Off' ? undefined : this.#turnOffGracefully();
      case 'Cycle':
      case 'ForcedCycle':
        return state === 'Off' ? this.#turnOn() : this.#restart();
    }
  }

  /**
   * Has it boot `target` (as Redfish names it), by the first way that the BMC takes and reads back.
   * Throws PowerError NotHonoured, or why all ways were refused.
   */
  async boot(wanted: { target: string; mode?: BootMode; isOnce: boolean }): Promise<ReadBoot> {
    const { quirks } = this.#options;
    const now = readBoot((await this.read()).body);
    if (now.targets?.includes(wanted.target) === false)
      throw new PowerError('Unsupported', `The BMC cannot have the machine boot ${wanted.target}.`, {
        isPassing: false,
      });
    let refused: PowerError | undefined;
    let last: ReadBoot | undefined;
    const tried: string[] = [];
    for (const way of bootWays(wanted, now, quirks)) {
      const refusal = await this.#write(way);
      if (refusal) {
        refused ??= powerErrorOf(refusal, `The BMC refused to have the machine boot ${wanted.target}`);
        tried.push(`${describe(way)} refused`);
        continue;
      }
      last = await this.#readBack(way);
      if (isHonoured(last, way)) {
        if (refused && way.writes.every((write) => write.BootSourceOverrideMode === undefined))
          quirks.found('MinimalBootRequest');
        return last;
      }
      tried.push(`${describe(way)} reads ${[last.enabled, last.target, last.mode ?? ''].join(' ').trim()}`);
    }
    if (!last && refused) throw refused;
    quirks.found('BootOverrideReverts');
    throw new PowerError(
      'NotHonoured',
      `The BMC says yes to a boot override and keeps another one: ${tried.join('; ')}`,
      {
        isPassing: true,
      },
    );
  }

  async #write(way: BootWay): Promise<Refusal | undefined> {
    for (const write of way.writes) {
      const refusal = await this.#patiently(async () => this.#patch({ Boot: write }));
      if (refusal) return refusal;
    }
    return undefined;
  }

  /** Where this BMC takes changes. */
  async #patch(body: object): Promise<Refusal | undefined> {
    const { visit, quirks } = this.#options;
    const system = await this.read();
    const settings = settingsPath(system.body);
    if (quirks.has('SettingsResource') && settings !== undefined)
      return visit.patch(await visit.get(settings), body);
    const refusal = await visit.patch(system, body);
    if (!refusal || !hasId(refusal, 'OperationSupportedInFutureStateURI')) return refusal;
    quirks.found('SettingsResource');
    return visit.patch(await visit.get(settings ?? `${trimSlash(system.path)}/SD`), body);
  }

  async #readBack(way: BootWay): Promise<ReadBoot> {
    const { visit, quirks } = this.#options;
    let read: ReadBoot | undefined;
    for (const delay of readBackDelaysMs) {
      await this.#sleep(delay);
      const system = await this.#readDuringJob();
      read = readBoot(system.body);
      if (isHonoured(read, way)) return read;
      if (!quirks.has('SettingsResource')) continue;
      const settings = settingsPath(system.body) ?? `${trimSlash(system.path)}/SD`;
      const pending = readBoot((await visit.get(settings)).body);
      if (isHonoured(pending, way)) return pending;
    }
    return read as ReadBoot;
  }

  /** Directly after a write, 404 means that a job is being made. */
  async #readDuringJob(): Promise<Resource> {
    const { visit, path, quirks } = this.#options;
    const answer = await visit.tryGet(path);
    if (answer.status === 404) quirks.found('NotFoundWhileJob');
    return this.read();
  }

  async #turnOn(): Promise<void> {
    const type = onTypeOf(await this.#resetTypes());
    return this.#reset(type, { until: 'On', what: 'turn the machine on' });
  }

  /** It is off and reads otherwise: that it reads On makes nothing of a refusal or a lost answer, and a BMC that refuses to turn on what is on may restart it. */
  async #turnOnUnread(): Promise<void> {
    const types = await this.#resetTypes();
    const onType = onTypeOf(types);
    let refused: Refusal | undefined;
    for (const type of [onType, 'PowerCycle', 'ForceRestart']) {
      if (type !== onType && types?.includes(type) === false) continue;
      const refusal = await this.#tryReset(type, undefined, restartPatienceMs);
      if (!refusal) return;
      refused ??= refusal;
      if (isForbidden(refusal)) break;
    }
    if (refused)
      throw powerErrorOf(
        refused,
        'The BMC turned the machine off, does not read so, and refused to turn it on again (press its power button)',
      );
  }

  async #turnOff(): Promise<void> {
    return this.#reset('ForceOff', { until: 'Off', what: 'turn the machine off' });
  }

  /** Off and on again, also where it reads that it is off. @returns false: turning it off was refused, and nothing was done. */
  async #forceCycle(): Promise<boolean> {
    const refusal = await this.#tryReset('ForceOff', 'Off', restartPatienceMs);
    if (refusal) return false;
    await this.#sleep(offPauseMs);
    // One that never reads so may be off all the same.
    await ((await this.#isOffInTime()) ? this.#turnOn() : this.#turnOnUnread());
    return true;
  }

  async #turnOffGracefully(): Promise<void> {
    const types = await this.#resetTypes();
    const type = ['GracefulShutdown', 'PushPowerButton'].find((name) => !types || types.includes(name));
    if (type === undefined) {
      throw new PowerError('Unsupported', 'The BMC cannot ask the system to end; only turn it off.', {
        isPassing: false,
      });
    }
    return this.#reset(type, { until: 'Off', what: 'ask the system to end' });
  }

  /** Restarts by what the BMC has for it; else off, and on again. */
  async #restart(): Promise<void> {
    const types = await this.#resetTypes();
    for (const type of ['ForceRestart', 'PowerCycle']) {
      if (types && !types.includes(type)) continue;
      const refusal = await this.#tryReset(type, undefined, restartPatienceMs);
      if (!refusal) return;
      if (isForbidden(refusal)) throw powerErrorOf(refusal, 'The BMC refused to restart the machine');
    }
    if (types) this.#options.quirks.found('FewResetTypes');
    await this.#turnOff();
    if (await this.#isOffInTime()) return this.#turnOn();
    throw new PowerError(
      'NotHonoured',
      'The BMC said that it turns the machine off, and it is still on after 60 s.',
      {
        isPassing: true,
      },
    );
  }

  async #isOffInTime(): Promise<boolean> {
    const end = this.#now() + offDeadlineMs;
    while (this.#now() < end) {
      if (settledStateOf((await this.read()).body) === 'Off') return true;
      await this.#sleep(2_000);
    }
    return false;
  }

  async #reset(type: string, { until, what }: { until: PowerState; what: string }): Promise<void> {
    const refusal = await this.#tryReset(type, until);
    if (refusal) throw powerErrorOf(refusal, `The BMC refused to ${what}`);
  }

  /** @param until neither a refusal nor a lost answer matters once it is so. */
  async #tryReset(
    type: string,
    until: PowerState | undefined,
    mostMs = patienceMs,
  ): Promise<Refusal | undefined> {
    const { visit } = this.#options;
    const target = resetTarget(await this.read());
    const isSo = async () => until !== undefined && settledStateOf((await this.read()).body) === until;
    return this.#patiently(async (round) => {
      if (round > 0 && (await isSo())) return undefined;
      try {
        return await visit.post(target, { ResetType: type });
      } catch (error) {
        if (error instanceof PowerError && error.reason === 'Unavailable' && (await isSo())) return undefined;
        throw error;
      }
    }, mostMs);
  }

  async #resetTypes(): Promise<readonly string[] | undefined> {
    const action = resetAction((await this.read()).body);
    const inline = action['ResetType@Redfish.AllowableValues'];
    if (Array.isArray(inline)) return inline.filter((name) => typeof name === 'string');
    const info = action['@Redfish.ActionInfo'];
    if (typeof info !== 'string') return undefined;
    const parameters = (await this.#options.visit.tryGet(info)).body['Parameters'];
    const parameter = (Array.isArray(parameters) ? parameters : []).find(
      (candidate) => isObject(candidate) && candidate['Name'] === 'ResetType',
    ) as JsonObject | undefined;
    const values = parameter?.['AllowableValues'];
    return Array.isArray(values) ? values.filter((name) => typeof name === 'string') : undefined;
  }

  /** Asks again while the BMC says that it may say yes later. */
  async #patiently(
    write: (round: number) => Promise<Refusal | undefined>,
    mostMs = patienceMs,
  ): Promise<Refusal | undefined> {
    const since = this.#now();
    const waitedBefore = this.#waitedMs;
    for (let round = 0; ; round += 1) {
      const refusal = await write(round);
      if (!refusal || !isPassing(refusal)) return refusal;
      const waited = this.#now() - since;
      this.#waitedMs = waitedBefore + waited;
      const limit = refusal.status === 500 ? errorPatienceMs : mostMs;
      if (waited >= limit || this.#waitedMs >= patienceMs) return refusal;
      this.#learn(refusal);
      await this.#sleep(Math.min(10_000, 2_000 + round * 1_000));
    }
  }

  #learn(refusal: Refusal): void {
    const { quirks } = this.#options;
    if (isDuringPost(refusal)) quirks.found('BusyDuringPost');
    else if (refusal.status === 409) quirks.found('ConflictAfterPowerOff');
    else if (isForState(refusal)) quirks.found('InvalidAfterPowerChange');
  }

  #now(): number {
    return this.#options.clock.now().getTime();
  }

  async #sleep(milliseconds: number): Promise<void> {
    const { clock, signal } = this.#options;
    if (milliseconds > 0) await clock.sleep(milliseconds, signal);
    signal.throwIfAborted();
  }
}

function onTypeOf(types: readonly string[] | undefined): string {
  return !types || types.includes('On') || !types.includes('ForceOn') ? 'On' : 'ForceOn';
}

function settledStateOf(system: JsonObject): PowerState {
  const state = fieldOf(system, 'PowerState');
  return state === 'On' || state === 'Off' ? state : 'Unknown';
}

/** What goes on, or off, is on. */
function changingStateOf(system: JsonObject): PowerState {
  const state = fieldOf(system, 'PowerState');
  return state === 'PoweringOn' || state === 'PoweringOff' || state === 'Paused'
    ? 'On'
    : settledStateOf(system);
}

function resetAction(system: JsonObject): JsonObject {
  const actions = fieldOf(system, 'Actions');
  const reset = isObject(actions) ? actions['#ComputerSystem.Reset'] : undefined;
  return isObject(reset) ? reset : {};
}

function resetTarget({ path, body }: Resource): string {
  const { target } = resetAction(body);
  return typeof target === 'string' ? target : `${trimSlash(path)}/Actions/ComputerSystem.Reset`;
}

function settingsPath(system: JsonObject): string | undefined {
  const settings = system['@Redfish.Settings'];
  return isObject(settings) ? pathOf(settings['SettingsObject']) : undefined;
}

function trimSlash(path: string): string {
  return path.replace(/\/+$/, '');
}

function describe({ writes, enabled, target, mode }: BootWay): string {
  return `${[enabled, target, mode ?? ''].join(' ').trim()} in ${writes.length} write${writes.length === 1 ? '' : 's'}`;
}
