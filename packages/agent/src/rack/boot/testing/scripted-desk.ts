import type { MachineInventory } from '@selvedge/api';
import type { PreparedImage } from '../../images/image-library.ts';
import type { BootDecision, BootRequest, MachineDesk, SystemSession, TaskResult } from '../machine-desk.ts';
import { SessionUnknown } from '../machine-desk.ts';

type Task = Awaited<ReturnType<MachineDesk['nextTask']>>;

/** A desk that decides as the test says, and remembers what it was told. Sessions and their binding to an address are as the contract wants. */
export class ScriptedDesk implements MachineDesk {
  /** What boxes get to boot, in turn; the last one for ever. */
  decisions: (BootDecision | Error)[] = [{ boot: 'Disk', method: 'Exit' }];
  /** By nonce: the address that it is for. Used up by a session. */
  readonly nonces = new Map<string, string>();
  readonly sessions = new Map<string, { session: SystemSession; address: string }>();
  readonly files = new Map<string, string>();
  readonly scripts = new Map<string, string>();
  readonly confirmations = new Set<string>();
  readonly inventories: MachineInventory[] = [];
  readonly results: { id: number; result: TaskResult }[] = [];
  readonly progress: unknown[] = [];
  readonly logs: string[] = [];
  readonly requests: BootRequest[] = [];
  readonly fetched: string[] = [];
  /** Boxes that wait for a task now. */
  waiting = 0;
  task: Task;
  isAborted = false;
  prepared: PreparedImage | undefined;
  /** Every method that takes a session throws SessionUnknown. */
  hasForgotten = false;
  readonly #onSeen: (seen: object) => void;

  constructor(options: { onSeen?: (seen: object) => void } = {}) {
    this.#onSeen = options.onSeen ?? (() => {});
  }

  dhcpSeen(lease: object): void {
    this.#onSeen(lease);
  }

  bootRequested(request: BootRequest): Promise<BootDecision> {
    this.requests.push(request);
    const decision = this.decisions.length > 1 ? this.decisions.shift() : this.decisions[0];
    if (decision === undefined) return Promise.reject(new Error('no decision'));
    return decision instanceof Error ? Promise.reject(decision) : Promise.resolve(decision);
  }

  fileFetched(address: string, file: string): void {
    this.fetched.push(`${address} ${file}`);
  }

  openSession(proof: { nonce: string; address: string }): Promise<SystemSession | undefined> {
    if (this.nonces.get(proof.nonce) !== proof.address) return Promise.resolve(undefined);
    this.nonces.delete(proof.nonce);
    const session = { token: `token-${this.sessions.size + 1}`, key: 'box:1' };
    this.sessions.set(session.token, { session, address: proof.address });
    return Promise.resolve(session);
  }

  findSession(token: string, address: string): SystemSession | undefined {
    const known = this.sessions.get(token);
    return known?.address === address ? known.session : undefined;
  }

  async inventoryTaken(_session: SystemSession, inventory: MachineInventory): Promise<void> {
    this.#know();
    this.inventories.push(inventory);
  }

  nextTask(_session: SystemSession, signal: AbortSignal): Promise<Task> {
    if (this.task !== undefined) return Promise.resolve(this.task);
    this.waiting += 1;
    return new Promise((resolve) => {
      signal.addEventListener('abort', () => {
        this.waiting -= 1;
        resolve(undefined);
      });
    });
  }

  taskDone(_session: SystemSession, id: number, result: TaskResult): Promise<boolean> {
    if (id !== this.task?.id) return Promise.resolve(false);
    this.results.push({ id, result });
    return Promise.resolve(true);
  }

  progressed(_session: SystemSession, progress: object): boolean {
    this.#know();
    this.progress.push(progress);
    return !this.isAborted;
  }

  logged(_session: SystemSession, text: string): void {
    this.logs.push(text);
  }

  image(): Promise<PreparedImage | undefined> {
    return Promise.resolve(this.prepared);
  }

  script(_session: SystemSession, name: string): Promise<string | undefined> {
    return Promise.resolve(this.scripts.get(name));
  }

  seed(): Promise<ReadonlyMap<string, string>> {
    return Promise.resolve(this.files);
  }

  confirmed(token: string): Promise<boolean> {
    return Promise.resolve(this.confirmations.delete(token));
  }

  #know(): void {
    if (this.hasForgotten) throw new SessionUnknown('forgotten');
  }
}
