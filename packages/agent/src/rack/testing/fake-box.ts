import { createHash } from 'node:crypto';
import { request as httpRequest } from 'node:http';
import type { MachineInventory } from '@selvedge/api';
import { sampleInventory } from '../life/testing/sample-order.ts';

/** A task as the box reads it. */
export interface ReadTask {
  readonly id: number;
  readonly name: string;
  readonly fields: ReadonlyMap<string, readonly string[]>;
}

export interface FakeBoxOptions {
  readonly mac: string;
  readonly uuid?: string;
  readonly serial?: string;
  readonly platform?: 'efi' | 'pcbios';
  /** Address that it calls from: any of 127.0.0.0/8; default 127.0.0.1. */
  readonly address?: string;
  /** Its power: what is under way ends when it is cut. */
  readonly power?: AbortSignal;
  /** Called with the path before each request; what it throws ends what the box was doing. */
  readonly beforeRequest?: (path: string) => Promise<void>;
}

/** A test whose rack never gives a task ends with an error, not by hanging. */
const patienceMs = 120_000;

/** A box as far as the rack can see it: its firmware and its inspection system, over true HTTP. Its disk is memory. */
export class FakeBox {
  readonly #url: () => string;
  readonly options: FakeBoxOptions;
  disk = Buffer.alloc(0);
  signature: string | undefined;
  diskBytes = 10_000_000_000;
  diskSerial: string;
  token = '';
  /** Names of the tasks that it did. */
  readonly done: string[] = [];
  seed = new Map<string, string>();
  isOn = false;

  constructor(url: () => string, options: FakeBoxOptions) {
    this.#url = url;
    this.options = options;
    this.diskSerial = `DISK-${options.mac.slice(-2)}`;
  }

  /** What the rack says to its firmware. */
  async askWhatToBoot(): Promise<{
    boot: 'System' | 'Disk' | 'Wait' | 'Off';
    nonce: string;
    script: string;
  }> {
    this.isOn = true;
    const { mac, uuid = '', serial = '', platform = 'pcbios' } = this.options;
    const query = new URLSearchParams({
      mac,
      uuid,
      serial,
      platform,
      arch: 'x86_64',
      product: 'Box',
      manufacturer: 'Maker',
    });
    const answer = await this.#call(`${this.#url()}/ipxe/decide?${query.toString()}`);
    const script = await answer.text();
    const nonce = /selvedge\.boot=(\S+)/.exec(script)?.[1] ?? '';
    const boot =
      nonce !== ''
        ? 'System'
        : /poweroff/.test(script)
          ? 'Off'
          : /\/ipxe\/decide/.test(script)
            ? 'Wait'
            : 'Disk';
    return { boot, nonce, script };
  }

  async openSession(nonce: string): Promise<number> {
    const { mac, uuid, serial } = this.options;
    const lines = [
      `nonce ${nonce}`,
      `mac ${mac}`,
      ...(uuid ? [`uuid ${uuid}`] : []),
      ...(serial ? [`serial ${serial}`] : []),
    ];
    const answer = await this.#ask('POST', '/machine/v1/session', { body: `${lines.join('\n')}\n` });
    if (answer.status === 200) this.token = /^token (\S+)/m.exec(await answer.text())?.[1] ?? '';
    return answer.status;
  }

  inventory(): MachineInventory {
    return sampleInventory({ signature: this.signature, size: this.diskBytes, serial: this.diskSerial });
  }

  async sendInventory(): Promise<number> {
    return (await this.#ask('POST', '/machine/v1/inventory', { body: JSON.stringify(this.inventory()) }))
      .status;
  }

  /** Undefined: there is none now. Throws when the session is over. */
  async task(signal?: AbortSignal): Promise<ReadTask | undefined> {
    const answer = await this.#ask('GET', '/machine/v1/task', signal === undefined ? {} : { signal });
    if (answer.status === 204) return undefined;
    if (answer.status !== 200) throw new Error(`the rack answered ${answer.status}`);
    const fields = new Map<string, string[]>();
    for (const line of (await answer.text()).split('\n').filter(Boolean)) {
      const [key = '', ...rest] = line.split(' ');
      fields.set(key, [...(fields.get(key) ?? []), rest.join(' ')]);
    }
    return { id: Number(fields.get('id')?.[0]), name: fields.get('task')?.[0] ?? '', fields };
  }

  async answer(task: ReadTask, lines: readonly string[] = ['status ok']): Promise<number> {
    this.done.push(task.name);
    return (await this.#ask('POST', `/machine/v1/task/${task.id}`, { body: `${lines.join('\n')}\n` })).status;
  }

  async progress(step: string, done: number, total: number): Promise<string> {
    const answer = await this.#ask('POST', '/machine/v1/progress', {
      body: `step ${step}\ndone ${done}\ntotal ${total}\n`,
    });
    return (await answer.text()).trim();
  }

  /** Does the task truly, on its disk in memory. */
  async carryOut(task: ReadTask): Promise<void> {
    switch (task.name) {
      case 'collect':
        await this.sendInventory();
        break;
      case 'write':
        await this.#write();
        this.signature = 'mbr';
        await this.sendInventory();
        break;
      case 'erase':
        this.disk = Buffer.alloc(0);
        this.signature = undefined;
        await this.sendInventory();
        break;
      case 'seed':
        for (const file of task.fields.get('file') ?? []) {
          const answer = await this.#ask('GET', `/machine/v1/seed/${file}`);
          if (answer.status === 200) this.seed.set(file, await answer.text());
        }
        break;
    }
    await this.answer(task);
  }

  async #write(): Promise<void> {
    const told = await this.#ask('GET', '/machine/v1/image/map');
    if (told.status !== 200) throw new Error('the rack has no image for it now');
    const map = await told.text();
    const pieces: Buffer[] = [];
    for (const line of map.trim().split('\n')) {
      const [index = '', , length = '', digest = ''] = line.split(' ');
      if (digest === 'zero') {
        pieces.push(Buffer.alloc(Number(length)));
        continue;
      }
      const bytes = Buffer.from(
        await (await this.#ask('GET', `/machine/v1/image/chunk/${index}`)).arrayBuffer(),
      );
      if (createHash('sha256').update(bytes).digest('hex') !== digest)
        throw new Error('not what the map says');
      pieces.push(bytes);
    }
    this.disk = Buffer.concat(pieces);
  }

  /** Boots the system and does what it is told, until it is to leave it. @returns the last task. */
  async runSystem(options: { until?: (task: ReadTask) => boolean } = {}): Promise<ReadTask | undefined> {
    const { boot, nonce, script } = await this.askWhatToBoot();
    if (boot !== 'System') throw new Error(`it is not to boot the system but: ${script}`);
    if ((await this.openSession(nonce)) !== 200) throw new Error('no session');
    await this.sendInventory();
    return await this.work(options);
  }

  async work({ until }: { until?: (task: ReadTask) => boolean } = {}): Promise<ReadTask | undefined> {
    let heardMs = performance.now();
    for (;;) {
      const task = await this.task();
      if (task === undefined) {
        if (performance.now() - heardMs > patienceMs) throw new Error('the rack has no task for it');
        continue;
      }
      heardMs = performance.now();
      if (until?.(task) === true) return task;
      await this.carryOut(task);
      if (task.name === 'poweroff') this.isOn = false;
      if (task.name === 'poweroff' || task.name === 'reboot') return task;
    }
  }

  /** The installed system calls, as its seed says. */
  async phoneHome(): Promise<number> {
    const url = /"url":"([^"]+)"/.exec(this.seed.get('vendor-data') ?? '')?.[1] ?? '';
    const body = new URLSearchParams({ instance_id: 'i', hostname: 'm1' });
    const headers = { 'content-type': 'application/x-www-form-urlencoded' };
    return (await this.#call(url, { method: 'POST', body: body.toString(), headers })).status;
  }

  async #ask(
    method: string,
    path: string,
    rest: { body?: string; signal?: AbortSignal } = {},
  ): Promise<Response> {
    return await this.#call(`${this.#url()}${path}`, {
      method,
      headers: { authorization: `Bearer ${this.token}`, 'content-type': 'text/plain' },
      ...rest,
    });
  }

  async #call(
    url: string,
    init: {
      method?: string;
      body?: string;
      headers?: Record<string, string>;
      signal?: AbortSignal;
    } = {},
  ): Promise<Response> {
    const { address = '127.0.0.1', power, beforeRequest } = this.options;
    const { method = 'GET', body, headers = {} } = init;
    const signals = [init.signal, power].filter((signal) => signal !== undefined);
    await beforeRequest?.(new URL(url).pathname);
    return await new Promise((resolve, reject) => {
      const options = { method, headers, localAddress: address, signal: AbortSignal.any(signals) };
      const request = httpRequest(url, options, (answer) => {
        const chunks: Buffer[] = [];
        answer.on('data', (chunk: Buffer) => chunks.push(chunk));
        answer.on('error', reject);
        answer.on('end', () => {
          const status = answer.statusCode ?? 0;
          resolve(new Response(status === 204 ? null : Buffer.concat(chunks), { status }));
        });
      });
      request.on('error', reject);
      request.end(body);
    });
  }
}
