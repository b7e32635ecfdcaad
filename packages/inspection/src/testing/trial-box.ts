import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { findStaticBusybox, findTool } from '@selvedge/testkit';
import { scriptsDir } from '../image/small-system.ts';

/** A disk of the box, as a plain file. */
export interface TrialDisk {
  readonly id: string;
  readonly bytes: number;
  readonly serial?: string;
}

/**
 * The scripts of the inspection system on this machine, under busybox as on a box: /sys and /proc are a made-up tree, disks are plain files, and the box "boots
 * again" by ending. Nothing of this machine is touched.
 */
export class TrialBox {
  readonly directory: string = mkdtempSync(join(tmpdir(), 'selvedge-trial-box-'));
  readonly root: string = join(this.directory, 'root');
  readonly state: string = join(this.directory, 'state');
  output = '';
  #work: ChildProcess | undefined;

  constructor(files: Readonly<Record<string, string | Buffer>> = {}) {
    for (const folder of ['root/proc', 'root/sys/block', 'root/sys/class/net', 'dev', 'state', 'bin']) {
      mkdirSync(join(this.directory, folder), { recursive: true });
    }
    // Real programs that the box has as well.
    for (const program of ['sfdisk', 'mkfs.fat', 'mtools', 'bash']) {
      const path = findTool(program);
      if (path !== undefined) symlinkSync(path, join(this.directory, 'bin', program));
    }
    // What scripts of the site call; nothing that could end this machine.
    for (const applet of ['cat', 'sh', 'sleep']) {
      symlinkSync(findStaticBusybox() ?? 'missing', join(this.directory, 'bin', applet));
    }
    // Its clock runs: what it tells, it tells every two seconds.
    symlinkSync('/proc/uptime', join(this.root, 'proc/uptime'));
    this.write('proc/cmdline', '');
    for (const [path, content] of Object.entries(files)) this.write(path, content);
  }

  write(path: string, content: string | Buffer): void {
    mkdirSync(dirname(join(this.root, path)), { recursive: true });
    writeFileSync(join(this.root, path), content);
  }

  /** A link in /sys: to a device or a driver. */
  link(path: string, target: string): void {
    mkdirSync(dirname(join(this.root, path)), { recursive: true });
    symlinkSync(target, join(this.root, path));
  }

  addDisk({ id, bytes, serial }: TrialDisk): string {
    this.write(`sys/block/${id}/size`, `${bytes / 512}\n`);
    if (serial !== undefined) this.write(`sys/block/${id}/serial`, serial);
    return this.addDiskFile(id, bytes);
  }

  /** What is on a disk, all zeros at first; what /sys says of it is up to the test. */
  addDiskFile(id: string, bytes: number): string {
    const path = this.disk(id);
    if (!existsSync(path)) writeFileSync(path, '');
    truncateSync(path, bytes);
    return path;
  }

  disk(id: string): string {
    return join(this.directory, 'dev', id);
  }

  /** Runs a script to its end. */
  async run(script: string): Promise<string> {
    const child = this.#start(script);
    let said = '';
    child.stdout?.setEncoding('utf8').on('data', (text: string) => (said += text));
    await once(child, 'close');
    return said;
  }

  /** Begins the conversation with a rack; it goes on until the box ends or is unplugged. */
  boot(rack: { readonly port: number; readonly nonce: string }): void {
    this.write(
      'proc/cmdline',
      `quiet selvedge.rack=http://127.0.0.1:${rack.port} selvedge.boot=${rack.nonce}\n`,
    );
    this.#work = this.#start('work');
    const take = (text: string) => (this.output += text);
    this.#work.stdout?.setEncoding('utf8').on('data', take);
    this.#work.stderr?.setEncoding('utf8').on('data', take);
  }

  /** What it ended with: `reboot` or `poweroff`. */
  async ended(): Promise<string> {
    if (this.#work !== undefined && this.#work.exitCode === null && this.#work.signalCode === null) {
      await once(this.#work, 'exit');
    }
    return readFileSync(join(this.state, 'ended'), 'utf8').trim();
  }

  /** Pulls the plug, in the middle of whatever it does. What it had in memory is gone. */
  async unplug(): Promise<void> {
    const work = this.#work;
    this.#work = undefined;
    if (work?.pid !== undefined && work.exitCode === null && work.signalCode === null) {
      const gone = once(work, 'exit');
      process.kill(-work.pid, 'SIGKILL');
      await gone;
    }
    removeFolder(this.state);
    mkdirSync(this.state);
  }

  async close(): Promise<void> {
    await this.unplug();
    removeFolder(this.directory);
  }

  #start(script: string): ChildProcess {
    const busybox = findStaticBusybox();
    if (busybox === undefined) throw new Error('a static busybox is missing');
    const library = scriptsDir('system');
    return spawn(busybox, ['sh', join(library, script)], {
      detached: true,
      stdio: ['ignore', 'pipe', 'pipe'],
      env: {
        PATH: join(this.directory, 'bin'),
        SYSROOT: this.root,
        DEV: join(this.directory, 'dev'),
        STATE: this.state,
        LIBRARY: library,
        MACHINE_TYPE: 'x86_64',
      },
    });
  }
}

/** A program that was ended may still finish what it was at in the kernel, and so make a file. */
function removeFolder(path: string): void {
  rmSync(path, { recursive: true, force: true, maxRetries: 10, retryDelay: 50 });
}
