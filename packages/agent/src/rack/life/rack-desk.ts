import { createHmac, randomBytes, timingSafeEqual } from 'node:crypto';
import {
  type Clock,
  type Logger,
  type MachineInventory,
  type MachineStep,
  nonceSeconds,
  type SystemTask,
  taskPollSeconds,
} from '@selvedge/api';
import { canonicalJson } from '@selvedge/api';
import { sha256Digest } from '@selvedge/api/node';
import {
  type BootDecision,
  type BootRequest,
  type MachineDesk,
  SessionUnknown,
  type SystemSession,
  type TaskResult,
} from '../boot/machine-desk.ts';
import type { ImageLibrary, PreparedImage } from '../images/image-library.ts';
import { AskerGuard } from './asker-guard.ts';
import { boundInventory } from './bound-inventory.ts';
import {
  cleanSigns,
  findImpostor,
  findOtherPorts,
  matchOrders,
  meaningfulMac,
  withSigns,
} from './box-identity.ts';
import { type BootChoice, decideBoot } from './decide-boot.ts';
import { confirm, endSession } from './finish-job.ts';
import type { BoxFinder } from './find-box.ts';
import { isWorking, startJob } from './job.ts';
import type { MachineKeeper } from './machine-keeper.ts';
import { addSeconds, type MachineRecord, noteMoment, withSign } from './machine-record.ts';
import type { MachineStore } from './machine-store.ts';
import type { PlanFacts } from './plan-facts.ts';
import { planMachine } from './plan-machine.ts';
import { isLast } from './plan-task.ts';
import type { RackWishes } from './rack-wishes.ts';
import { seedFiles } from './seed-files.ts';
import {
  bootAsked,
  bootDecided,
  inventoryTaken,
  progressed,
  sessionOpened,
  systemConfirmed,
  taskAnswered,
  withConflict,
} from './take-event.ts';

export interface RackDeskOptions {
  readonly keeper: MachineKeeper;
  readonly store: MachineStore;
  readonly wishes: RackWishes;
  readonly finder: BoxFinder;
  readonly factsOf: (record: MachineRecord) => PlanFacts;
  readonly library: Pick<ImageLibrary, 'find' | 'findBootFile'>;
  /** MAC addresses known at an IP address of the rack's networks; empty: nothing is known of it. */
  readonly macsAt: (address: string) => Promise<readonly string[]>;
  readonly logs: { append(key: string, text: string): void };
  readonly clock: Clock;
  readonly logger: Logger;
}

/** The desk at which boxes and their inspection systems are served: see the contract. */
export class RackDesk implements MachineDesk {
  readonly #o: RackDeskOptions;
  /** Those who wait for a task. */
  readonly #waiting = new Map<string, Set<() => void>>();
  /** Number of the task that the system of a machine was last told, as far as this process knows. */
  readonly #given = new Map<string, number>();
  readonly #guard: AskerGuard;

  constructor(options: RackDeskOptions) {
    this.#o = options;
    this.#guard = new AskerGuard(options);
    options.keeper.onChange((key) => {
      for (const wake of this.#waiting.get(key) ?? []) wake();
      if (options.keeper.find(key) === undefined) this.#given.delete(key);
    });
  }

  dhcpSeen(lease: Parameters<MachineDesk['dhcpSeen']>[0]): void {
    const macAddress = meaningfulMac(lease.macAddress);
    const record = macAddress === undefined ? undefined : this.#o.finder.findByMac(macAddress);
    if (record === undefined || lease.event === 'Deleted') return;
    const { keeper } = this.#o;
    const { now } = keeper;
    const { address } = lease;
    const what = address === undefined ? 'DHCP asked for an address' : `DHCP gave it ${address}`;
    this.#noteSign(() => {
      keeper.touch(record.key, (before) => {
        const seen = address === undefined ? before.seen : { ...before.seen, address };
        return withSign({ ...before, seen }, what, now);
      });
      if (this.#isInstalledBoot(record, lease, now)) {
        keeper.change(record.key, (before) =>
          isWorking(before)
            ? confirm(before, now, `the system on its disk asked for an address (${address ?? ''})`)
            : before,
        );
      }
    });
  }

  /** The system on its disk asked for an address, some time after the box was sent there: not its firmware. */
  #isInstalledBoot(
    record: MachineRecord,
    { event, bootMode }: Parameters<MachineDesk['dhcpSeen']>[0],
    now: string,
  ): boolean {
    const facts = this.#o.factsOf(record);
    const { job, seen } = record;
    if (facts.confirmation !== 'Boot' || job?.kind !== 'Provision' || job.stage !== 'Disk') return false;
    // Leases of before tell nothing of this boot.
    if (event !== 'Lease' || bootMode !== undefined || job.boots === 0) return false;
    return seen.lastBootTime !== undefined && addSeconds(seen.lastBootTime, firmwareSeconds) < now;
  }

  async bootRequested(request: BootRequest): Promise<BootDecision> {
    const { library, keeper, finder, logger } = this.#o;
    const { architecture, platform, macAddress, uuid, serial } = request;
    const files = await Promise.all(
      ['vmlinuz', 'initrd.img'].map((name) => library.findBootFile(architecture, name)),
    );
    const hasSystem = files.every((file) => file !== undefined);
    const wire = await this.#o.macsAt(request.address);
    const refused = this.#guard.refuse(request, wire);
    if (refused !== undefined) return refused;
    const { key, signs } = finder.find(
      { macAddresses: [macAddress], uuid, serial },
      { address: request.address, isMadeUp: wire.length > 0 && !wire.includes(macAddress) },
    );
    if (key === undefined) {
      logger.warn('a box boots its own disk: the rack does not know which machine it is', { macAddress });
      return { boot: 'Disk', method: platform === 'UEFI' ? 'Exit' : 'Sanboot' };
    }
    const nonce = randomBytes(24).toString('base64url');
    const told: { choice: BootChoice } = { choice: { boot: 'Disk', method: 'Exit' } };
    keeper.change(key, (before) => {
      const { now } = keeper;
      const asked = bootAsked(withSigns(before, signs), request, now);
      const planned = planMachine(asked, this.#o.factsOf(asked));
      const facts = this.#o.factsOf(planned);
      told.choice = decideBoot(planned, facts, { platform, hasSystem });
      const isSystemOff = told.choice.boot === 'PowerOff' && !facts.power.turnsOff && hasSystem;
      // iPXE cannot switch every box off; the system can.
      const decided = isSystemOff
        ? startJob(planned, { kind: 'Switch', stage: 'System', subject: 'Off', now })
        : planned;
      if (isSystemOff) told.choice = { boot: 'System' };
      const nonceDigest = told.choice.boot === 'System' ? sha256Digest(nonce) : undefined;
      return bootDecided(decided, told.choice, { request, now, timings: facts.timings, nonceDigest });
    });
    const { choice } = told;
    logger.info('a box asked what to boot', { machine: key, macAddress, decision: choice.boot });
    if (choice.boot !== 'System') return choice;
    return { boot: 'System', nonce, kernelArguments: consoles[architecture] };
  }

  fileFetched(address: string, file: string): void {
    const { keeper } = this.#o;
    const record = keeper.all().find(({ boot }) => boot?.address === address && boot.isUsed !== true);
    if (record === undefined) return;
    this.#noteSign(() => {
      keeper.touch(record.key, (before) => withSign(before, `it fetched ${file}`, keeper.now));
    });
  }

  async openSession(proof: Parameters<MachineDesk['openSession']>[0]): Promise<SystemSession | undefined> {
    return this.#openSession(proof, await this.#o.macsAt(proof.address));
  }

  /** @param wire MAC addresses that are known at the address of who shows it. */
  #openSession(
    proof: Parameters<MachineDesk['openSession']>[0],
    wire: readonly string[],
  ): SystemSession | undefined {
    const { keeper, wishes } = this.#o;
    const digest = sha256Digest(proof.nonce);
    const record = keeper.all().find(({ boot }) => boot !== undefined && isEqual(boot.digest, digest));
    if (record?.boot === undefined) return undefined;
    const { key, boot } = record;
    const { now } = keeper;
    const refuse = (reason: string, message: string) => {
      const moment = { time: now, type: 'Warning' as const, reason, message };
      keeper.change(key, (before) => noteMoment(before, moment));
      return undefined;
    };
    if (boot.isUsed === true) {
      return refuse('NonceReused', `${proof.address} showed a boot nonce a second time; it was refused`);
    }
    const signs = cleanSigns(proof);
    // Accepted since it asked, it got the address that is kept for it.
    const isSameBox = boot.address === proof.address || wire.includes(boot.macAddress);
    if (!isSameBox || !signs.macAddresses.includes(boot.macAddress)) {
      return refuse(
        'NonceRefused',
        `a boot nonce that was given to ${boot.address} (${boot.macAddress}) was shown by ${proof.address}; it was refused`,
      );
    }
    if (addSeconds(boot.time, nonceSeconds) < now) {
      return refuse('NonceRefused', 'a boot nonce was shown too late; it was refused');
    }
    const match = matchOrders(wishes.machines, signs);
    const identity = wishes.find(key)?.identity;
    const isOther = match.kind === 'One' && match.uid !== key;
    const message =
      match.kind === 'Conflict'
        ? match.message
        : isOther
          ? 'its ports belong to another machine too; correct spec.identity of them'
          : (findOtherPorts(record, identity, signs) ?? findImpostor(record, identity, signs));
    if (message !== undefined) {
      const uids = match.kind === 'Conflict' ? match.uids : isOther ? [match.uid] : [];
      for (const one of new Set([key, ...uids])) {
        keeper.change(one, (before) => withConflict(before, message, now));
      }
      return undefined;
    }
    const token = randomBytes(32).toString('base64url');
    const session = { digest: sha256Digest(token), address: proof.address, time: now };
    const ports = signs.macAddresses;
    keeper.change(key, (before) => sessionOpened({ ...withSigns(before, signs), ports }, session));
    return { token, key };
  }

  findSession(token: string, address: string): SystemSession | undefined {
    const digest = sha256Digest(token);
    const record = this.#o.keeper
      .all()
      .find(({ session }) => session?.address === address && isEqual(session.digest, digest));
    return record && { token, key: record.key };
  }

  inventoryTaken(session: SystemSession, inventory: MachineInventory): Promise<void> {
    return Promise.resolve().then(() => {
      const { keeper, store } = this.#o;
      const { key } = this.#recordOf(session);
      const bounded = boundInventory(inventory);
      const digest = sha256Digest(canonicalJson(bounded));
      store.transaction(() => {
        store.putInventory(key, digest, bounded);
        keeper.change(key, (before) =>
          inventoryTaken(before, { inventory: bounded, digest, now: keeper.now }),
        );
      });
    });
  }

  async nextTask(
    session: SystemSession,
    signal: AbortSignal,
  ): Promise<{ id: number; task: SystemTask } | undefined> {
    const over = new AbortController();
    const either = AbortSignal.any([signal, over.signal]);
    const { keeper, clock } = this.#o;
    const asked = this.#recordOf(session);
    // One that asks for the same task again and again is no nearer to its end.
    if (asked.job?.task === undefined) {
      keeper.touch(asked.key, (before) =>
        withSign(before, 'its inspection system asked for a task', keeper.now),
      );
    }
    // What time alone has made ready.
    keeper.review(asked.key);
    const limit = clock.sleep(taskPollSeconds * 1000, either).then(() => 'over' as const);
    try {
      for (;;) {
        const record = this.#recordOf(session);
        const task = record.job?.stage === 'System' ? record.job.task : undefined;
        if (task !== undefined) {
          this.#given.set(record.key, task.id);
          return { id: task.id, task: task.task };
        }
        if (either.aborted) return undefined;
        const news = this.#waitForChange(record.key, either).then(() => 'news' as const);
        if ((await Promise.race([news, limit])) === 'over') return undefined;
      }
    } finally {
      over.abort();
    }
  }

  #waitForChange(key: string, signal: AbortSignal): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>();
    const waiting = this.#waiting.get(key) ?? new Set();
    this.#waiting.set(key, waiting);
    waiting.add(resolve);
    signal.addEventListener('abort', () => resolve(), { once: true });
    return promise.finally(() => {
      waiting.delete(resolve);
      if (waiting.size === 0) this.#waiting.delete(key);
    });
  }

  taskDone(session: SystemSession, id: number, result: TaskResult): Promise<boolean> {
    return Promise.resolve().then(() => {
      const { keeper, factsOf } = this.#o;
      const record = this.#recordOf(session);
      const task = record.job?.task;
      if (!isWorking(record) || task?.id !== id) return false;
      keeper.change(record.key, (before) =>
        isWorking(before) ? taskAnswered(before, { task, result }, factsOf(before)) : before,
      );
      return true;
    });
  }

  progressed(session: SystemSession, progress: { step: MachineStep; done: number; total: number }): boolean {
    const { keeper } = this.#o;
    const record = this.#recordOf(session);
    if (!isWorking(record) || record.job.task === undefined) return false;
    // The order has changed: what it does is not what it is to do now.
    const given = this.#given.get(record.key);
    if (given !== undefined && given !== record.job.task.id) return false;
    if (stepsOnDisks.has(progress.step) && progress.step !== record.job.step) return false;
    this.#noteSign(() => {
      keeper.touch(record.key, (before) =>
        isWorking(before) ? progressed(before, progress, keeper.now) : before,
      );
    });
    return true;
  }

  logged(session: SystemSession, text: string): void {
    this.#o.logs.append(this.#recordOf(session).key, text);
  }

  async image(session: SystemSession): Promise<PreparedImage | undefined> {
    const { wishes, library } = this.#o;
    const record = this.#recordOf(session);
    const image = wishes.imageOf(wishes.find(record.key));
    // Only to who is told to write it.
    if (image === undefined || record.job?.task?.task.task !== 'write') return undefined;
    return await library.find(image);
  }

  script(session: SystemSession, name: string): Promise<string | undefined> {
    return Promise.resolve().then(() => {
      const task = this.#recordOf(session).job?.task?.task;
      // Scripts may hold what only this one is to know.
      return task?.task === 'script' && task.name === name ? this.#o.wishes.scriptText(name) : undefined;
    });
  }

  seed(session: SystemSession, rackUrl: string): Promise<ReadonlyMap<string, string>> {
    return Promise.resolve().then(() => {
      const { keeper, wishes } = this.#o;
      const record = this.#recordOf(session);
      const task = record.job?.task;
      if (task?.task.task !== 'seed') throw new SessionUnknown('the seed is not asked for now');
      // The same for all files of one task, also after a restart of the agent, and known to nobody who reads the record.
      const token = createHmac('sha256', session.token).update(`seed ${task.id}`).digest('base64url');
      const digest = sha256Digest(token);
      if (record.seed?.digest !== digest) {
        keeper.change(record.key, (before) => ({ ...before, seed: { digest, isConfirmed: false } }));
      }
      const order = wishes.find(record.key);
      if (order === undefined) throw new SessionUnknown('nobody wants anything of this machine');
      return seedFiles(order, {
        image: wishes.imageOf(order),
        confirmUrl: `${rackUrl}/confirm/v1/${token}`,
        readSecret: (id, key) => wishes.readSecret(id, key),
      });
    });
  }

  confirmed(token: string, said: { address: string; hostname?: string }): Promise<boolean> {
    return Promise.resolve().then(() => {
      const { keeper } = this.#o;
      const record = this.#findBySeed(token);
      if (record === undefined || record.seed?.isConfirmed === true) return false;
      keeper.change(record.key, (before) => {
        // It was told to restart, and did so without a word.
        const isGone = isWorking(before) && before.job.task !== undefined && isLast(before.job.task.name);
        const left = isGone ? endSession(before, before.job.task?.name ?? '') : before;
        return systemConfirmed(left, said, keeper.now);
      });
      return true;
    });
  }

  #findBySeed(token: string): MachineRecord | undefined {
    const digest = sha256Digest(token);
    return this.#o.keeper.all().find(({ seed }) => seed !== undefined && isEqual(seed.digest, digest));
  }

  #recordOf({ key, token }: SystemSession): MachineRecord {
    const digest = sha256Digest(token);
    const { keeper } = this.#o;
    const record = keeper.find(key);
    const own = record?.session?.digest === digest ? record : undefined;
    // It may be known by another key by now.
    const found = own ?? keeper.all().find(({ session }) => session?.digest === digest);
    if (found === undefined) throw new SessionUnknown('the session is over');
    return found;
  }

  /** For what is heard again soon. */
  #noteSign(write: () => void): void {
    try {
      write();
    } catch (error) {
      this.#o.logger.warn('a sign of life could not be written down', { error });
    }
  }
}

/** Of what changes disks: nothing of it goes on that is not wanted any more. */
const stepsOnDisks: ReadonlySet<MachineStep> = new Set(['Writing', 'Erasing', 'Seeding']);

/** The firmware's own DHCP is over by then. */
const firmwareSeconds = 5;

const consoles = {
  amd64: ['console=tty0', 'console=ttyS0,115200n8'],
  arm64: ['console=tty0', 'console=ttyAMA0'],
};

/** Of digests: asked of every record, so nothing is computed here. */
function isEqual(one: string, other: string): boolean {
  const [a, b] = [Buffer.from(one), Buffer.from(other)];
  return a.length === b.length && timingSafeEqual(a, b);
}
