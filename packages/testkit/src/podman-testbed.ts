import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, readFileSync } from 'node:fs';
import {
  chmod,
  chown,
  copyFile,
  cp,
  mkdir,
  mkdtemp,
  open,
  readdir,
  readFile,
  rm,
  symlink,
  writeFile,
} from 'node:fs/promises';
import { request } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as wait } from 'node:timers/promises';
import { findTool, getTool } from './require-tool.ts';
import { findStaticBusybox } from './static-busybox.ts';

/** An ordinary user for whom a root process runs Podman rootless. */
export interface PodmanUser {
  readonly name: string;
  readonly uid: number;
  readonly gid: number;
  readonly home: string;
}

export interface PodmanTestbedOptions {
  /** Folder for everything; kept by `close({ keepStorage: true })` and opened again by the next start. Default: a new one. */
  readonly directory?: string;
  /** Run Podman as this user (the caller is root). Default: as the caller. */
  readonly user?: PodmanUser;
}

/**
 * A Podman of its own: own images, containers, networks and runtime state, served on its own socket. Beside others on one
 * machine it shares only host ports and IP ranges.
 */
export interface PodmanTestbed {
  readonly directory: string;
  readonly socketPath: string;
  /** Folder on a tmpfs that loses its content at `reboot`, for the driver's secrets. */
  readonly volatileDir: string;
  /** Environment that makes any `podman` (also an agent's child) use this testbed; contains PATH, nothing secret. */
  readonly env: Record<string, string>;
  /** Runs the podman CLI in the testbed; the answer is its stdout. */
  podman(...args: string[]): Promise<string>;
  /** Makes an image with busybox and all its applets, from this machine's static busybox. */
  importBusyboxImage(name?: string): Promise<string>;
  /**
   * What a power cut and a start leave: containers are defined but none runs, everything on tmpfs and every network
   * interface is gone. The API is served again on the same socket.
   */
  reboot(): Promise<void>;
  /** Ends the API service only; `startService` brings it back. */
  stopService(): Promise<void>;
  startService(): Promise<void>;
  /** Removes containers, pods, networks and mounts of the testbed, then its folder unless `keepStorage`. */
  close(options?: { keepStorage?: boolean }): Promise<void>;
}

/** Rejects with what Podman said when it cannot be used here. */
export async function startPodmanTestbed(options: PodmanTestbedOptions = {}): Promise<PodmanTestbed> {
  const directory = options.directory ?? (await mkdtemp(join(tmpdir(), 'svg-podman-')));
  const testbed = new Testbed(directory, options.user);
  await testbed.prepare();
  await testbed.startService();
  return testbed;
}

class Testbed implements PodmanTestbed {
  readonly directory: string;
  readonly socketPath: string;
  readonly env: Record<string, string>;
  readonly #user: PodmanUser | undefined;
  readonly #rootless: boolean;
  /** Lost at a reboot; its path is short, because sockets in it may have no more than 107 characters. */
  readonly #memoryDir: string;
  #service: ChildProcess | undefined;

  constructor(directory: string, user: PodmanUser | undefined) {
    this.directory = directory;
    this.#user = user;
    this.#rootless = user !== undefined || process.getuid?.() !== 0;
    const hash = createHash('sha256').update(directory).digest('hex').slice(0, 12);
    this.#memoryDir = `/dev/shm/svg-${hash}`;
    this.socketPath = join(this.#memoryDir, 'podman.sock');
    this.env = {
      PATH: [process.env['PATH'] ?? '/usr/bin:/bin', '/usr/sbin', '/sbin'].join(':'),
      HOME: user?.home ?? process.env['HOME'] ?? '/root',
      CONTAINERS_CONF: join(directory, 'containers.conf'),
      CONTAINERS_STORAGE_CONF: join(directory, 'storage.conf'),
      // Rootless Podman takes its graph root from XDG_DATA_HOME, whatever storage.conf says.
      ...(this.#rootless
        ? { XDG_DATA_HOME: join(directory, 'data'), XDG_RUNTIME_DIR: join(this.#memoryDir, 'run') }
        : {}),
    };
  }

  get volatileDir(): string {
    return join(this.#memoryDir, 'volatile');
  }

  async prepare(): Promise<void> {
    for (const folder of ['', 'data', 'networks']) await this.#makeFolder(join(this.directory, folder));
    await this.#makeMemoryFolders();
    await writeFile(join(this.directory, 'containers.conf'), containersConf(this.directory, this.#memoryDir));
    await writeFile(join(this.directory, 'storage.conf'), storageConf(this.directory, this.#memoryDir));
  }

  async startService(): Promise<void> {
    await this.#endServiceLeftovers();
    await rm(this.socketPath, { force: true });
    // A file, no pipe: helpers that outlive the service would hold the pipe open.
    const log = await open(join(this.directory, 'service.log'), 'w');
    const service = spawn(getTool('podman'), ['system', 'service', '--time=0', `unix://${this.socketPath}`], {
      stdio: ['ignore', 'ignore', log.fd],
      // Ctrl-C in a terminal is for us; we stop the service when its turn comes.
      detached: true,
      ...this.#identity(),
    });
    await log.close();
    this.#service = service;
    for (let attempt = 0; attempt < 300; attempt++) {
      if (service.exitCode !== null) break;
      if (existsSync(this.socketPath) && (await this.#answers())) return;
      await wait(100);
    }
    await this.stopService();
    const complaint = readFileSync(join(this.directory, 'service.log'), 'utf8').trim();
    throw new Error(`podman system service did not start: ${complaint.slice(-2000)}`);
  }

  async stopService(): Promise<void> {
    const service = this.#service;
    this.#service = undefined;
    if (!service || service.exitCode !== null || service.signalCode !== null) return;
    const gone = new Promise((resolve) => service.once('exit', resolve));
    // Rootless Podman runs as two processes; a signal that it can hand on ends both.
    service.kill('SIGTERM');
    const timer = setTimeout(() => service.kill('SIGKILL'), 10_000);
    await gone;
    clearTimeout(timer);
    await this.#endServiceLeftovers();
  }

  /** The second process sometimes stays, and both when we are killed; they are known by their socket, which nobody else has. */
  async #endServiceLeftovers(): Promise<void> {
    for (const pid of (await readdir('/proc')).filter((name) => /^\d+$/.test(name))) {
      const words = (await readFile(`/proc/${pid}/cmdline`, 'utf8').catch(() => '')).split('\0');
      if (!words.includes(`unix://${this.socketPath}`)) continue;
      try {
        process.kill(Number(pid), 'SIGKILL');
      } catch {
        // It has ended by itself.
      }
    }
  }

  podman(...args: string[]): Promise<string> {
    return run(getTool('podman'), args, this.#identity());
  }

  async importBusyboxImage(name = 'localhost/busybox:1'): Promise<string> {
    const exists = await this.podman('image', 'exists', name).then(
      () => true,
      () => false,
    );
    if (exists) return name;
    const busybox = findStaticBusybox();
    if (busybox === undefined) {
      throw new Error(
        'a static busybox is missing; "npm test" unpacks it, or: apt-get install busybox-static',
      );
    }
    const root = await mkdtemp(join(this.directory, 'image-'));
    for (const folder of ['bin', 'tmp', 'etc', 'www']) await mkdir(join(root, folder), { recursive: true });
    await chmod(join(root, 'tmp'), 0o1777);
    await cp(busybox, join(root, 'bin/busybox'));
    const applets = (await run(busybox, ['--list'], {}))
      .split('\n')
      .filter((a) => a !== '' && a !== 'busybox');
    for (const applet of applets) await symlink('busybox', join(root, 'bin', applet));
    const archive = join(this.directory, 'busybox.tar');
    await run('tar', ['-C', root, '--owner=0', '--group=0', '-cf', archive, '.'], {});
    await this.podman('import', '--change', 'ENV PATH=/bin', '--change', 'CMD ["sh"]', archive, name);
    await rm(root, { recursive: true });
    await rm(archive);
    return name;
  }

  async reboot(): Promise<void> {
    // Stopping takes down networks in an orderly way; the database of before the stop goes back afterwards, so Podman finds
    // what it finds after a power cut: containers that its records call running.
    const networks = await this.#networks();
    const databases = await this.#databases();
    for (const file of databases) await copyFile(file, `${file}.before`);
    await this.#stopContainers();
    await this.stopService();
    await this.#endUserNamespace();
    for (const file of databases) {
      await copyFile(`${file}.before`, file);
      await rm(`${file}.before`);
    }
    await unmountBelow(this.directory);
    await this.#clearVolatileFolders(networks);
    await this.#makeMemoryFolders();
    await this.startService();
  }

  async close(options: { keepStorage?: boolean } = {}): Promise<void> {
    const networks = await this.#networks();
    await this.#stopContainers().catch(() => undefined);
    await this.podman('pod', 'rm', '--all', '--force', '--time', '0').catch(() => undefined);
    await this.podman('rm', '--all', '--force', '--time', '0').catch(() => undefined);
    await this.podman('network', 'prune', '--force').catch(() => undefined);
    await this.stopService();
    if (!options.keepStorage && this.#rootless) {
      await this.podman('unshare', 'rm', '-rf', join(this.directory, 'data')).catch(() => undefined);
    }
    await this.#endUserNamespace();
    await unmountBelow(this.directory);
    await this.#clearVolatileFolders(networks);
    if (options.keepStorage) return;
    await this.#removeFolder(this.directory);
  }

  async #stopContainers(): Promise<void> {
    await this.podman('pod', 'stop', '--all', '--time', '0').catch(() => undefined);
    await this.podman('stop', '--all', '--time', '0').catch(() => undefined);
  }

  async #networks(): Promise<string[]> {
    const list = await this.podman('network', 'ls', '--format', '{{.Name}}').catch(() => '');
    return list.split('\n').filter((name) => name.startsWith('selvedge-'));
  }

  /** Agents keep Secrets on a tmpfs in a folder that is called as their site's network. */
  async #clearVolatileFolders(networks: readonly string[]): Promise<void> {
    const uid = this.#user?.uid ?? process.getuid?.() ?? 0;
    const folders = networks.flatMap((name) => [
      join('/run', name),
      join('/dev/shm', name),
      join('/dev/shm', `${name}-${uid}`),
      join('/run/user', String(uid), `${name}-${uid}`),
    ]);
    await unmountBelow(this.#memoryDir);
    for (const folder of [this.#memoryDir, ...folders]) await this.#removeFolder(folder);
  }

  /** Rootless Podman keeps a process that holds its user namespace. */
  async #endUserNamespace(): Promise<void> {
    const pidFile = join(this.#memoryDir, 'tmp/pause.pid');
    if (!this.#rootless || !existsSync(pidFile)) return;
    const pid = Number(readFileSync(pidFile, 'utf8'));
    if (Number.isInteger(pid) && pid > 1) {
      try {
        process.kill(pid, 'SIGKILL');
      } catch {
        // It has ended by itself.
      }
    }
    await rm(pidFile, { force: true });
  }

  async #databases(): Promise<string[]> {
    const files = ['data/libpod/bolt_state.db', 'data/db.sql'].map((file) => join(this.directory, file));
    return files.filter((file) => existsSync(file));
  }

  #identity(): { env: Record<string, string>; cwd: string; uid?: number; gid?: number } {
    const user = this.#user;
    return { env: this.env, cwd: this.directory, ...(user ? { uid: user.uid, gid: user.gid } : {}) };
  }

  async #makeMemoryFolders(): Promise<void> {
    for (const folder of ['', 'run', 'tmp', 'volatile']) {
      await this.#makeFolder(join(this.#memoryDir, folder));
    }
  }

  async #makeFolder(path: string): Promise<void> {
    await mkdir(path, { recursive: true, mode: 0o700 });
    if (this.#user) await chown(path, this.#user.uid, this.#user.gid);
  }

  async #removeFolder(path: string): Promise<void> {
    await rm(path, { recursive: true, force: true, maxRetries: 5, retryDelay: 200 });
  }

  #answers(): Promise<boolean> {
    return new Promise((resolve) => {
      const ping = request({ socketPath: this.socketPath, path: '/libpod/_ping', timeout: 5000 }, (res) => {
        res.resume();
        resolve(res.statusCode === 200);
      });
      ping.on('error', () => resolve(false));
      ping.end();
    });
  }
}

function containersConf(directory: string, memoryDir: string): string {
  const lines = [
    '[containers]',
    'log_driver = "k8s-file"',
    // Podman's default limits need CAP_SYS_RESOURCE; what this process may have itself is always allowed.
    `default_ulimits = ["nofile=${hardLimit('Max open files')}", "nproc=${hardLimit('Max processes')}"]`,
    '[engine]',
    `runtime = "${chooseRuntime()}"`,
    'cgroup_manager = "cgroupfs"',
    'events_logger = "file"',
    // Locks in shared memory would be common to all testbeds.
    'lock_type = "file"',
    'helper_binaries_dir = ["/usr/bin", "/usr/lib/podman", "/usr/libexec/podman", "/usr/local/libexec/podman"]',
    `tmp_dir = "${join(memoryDir, 'tmp')}"`,
    `static_dir = "${join(directory, 'data/libpod')}"`,
    `volume_path = "${join(directory, 'data/volumes')}"`,
    '[network]',
    'network_backend = "netavark"',
    `network_config_dir = "${join(directory, 'networks')}"`,
  ];
  return `${lines.join('\n')}\n`;
}

function storageConf(directory: string, memoryDir: string): string {
  const lines = ['[storage]', 'driver = "overlay"', `graphroot = "${join(directory, 'data')}"`];
  return `${lines.join('\n')}\nrunroot = "${join(memoryDir, 'run')}"\n`;
}

/** Whether this machine has cgroup v1 and also hands controllers to v2: crun refuses that, runc does not. */
export function hasMixedCgroups(): boolean {
  const unified = '/sys/fs/cgroup/unified/cgroup.controllers';
  return existsSync(unified) && readFileSync(unified, 'utf8').trim() !== '';
}

function chooseRuntime(): 'crun' | 'runc' {
  const isMissing = findTool('crun') === undefined;
  return (hasMixedCgroups() || isMissing) && findTool('runc') !== undefined ? 'runc' : 'crun';
}

/** Podman lowers its own limits before it starts a container; above some 32,000 processes runc is refused here. */
const maxUlimit = 20_000;

function hardLimit(name: string): string {
  const line = readFileSync('/proc/self/limits', 'utf8')
    .split('\n')
    .find((l) => l.startsWith(name));
  const hard = line?.slice(26).trim().split(/\s+/)[1] ?? '1024';
  const value = Math.min(hard === 'unlimited' ? Infinity : Number(hard), maxUlimit);
  return `${value}:${value}`;
}

/** Podman leaves bind mounts behind, which keep a folder from being removed. */
async function unmountBelow(directory: string): Promise<void> {
  const mounts = readFileSync('/proc/self/mountinfo', 'utf8')
    .split('\n')
    .map((line) => line.split(' ')[4] ?? '')
    .filter((path) => path.startsWith(`${directory}/`));
  for (const path of mounts.toReversed()) await run('umount', ['-l', path], {}).catch(() => undefined);
}

function run(
  program: string,
  args: readonly string[],
  options: { env?: Record<string, string>; cwd?: string; uid?: number; gid?: number },
): Promise<string> {
  return new Promise((resolve, reject) => {
    execFile(
      program,
      args,
      { ...options, timeout: 120_000, maxBuffer: 64 << 20 },
      (error, stdout, stderr) => {
        if (error)
          reject(
            new Error(`${program} ${args.join(' ')}: ${stderr.trim() || error.message}`, { cause: error }),
          );
        else resolve(stdout);
      },
    );
  });
}
