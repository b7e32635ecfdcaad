import { execFile, type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { appendFileSync, chownSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { promisify } from 'node:util';
import { freePort } from './free-port.ts';
import { getTool } from './require-tool.ts';

export interface TestPostgresOptions {
  /** Writes reach the disk before they are acknowledged; default: not, which is faster and survives all but power loss. */
  readonly isDurable?: boolean;
  /** Lines for postgresql.conf. */
  readonly settings?: readonly string[];
}

/** A PostgreSQL server of a test's own, on loopback and a Unix socket; anybody on this machine is its superuser. */
export interface TestPostgres {
  readonly port: number;
  /** Data directory: configuration can be changed before a restart. */
  readonly directory: string;
  /** The user that the programs of PostgreSQL run as. */
  readonly user: string;
  /** A new, empty database. */
  createDatabase(): Promise<TestPostgresDatabase>;
  /** Runs SQL in a database, `postgres` by default; returns what psql prints: a line a row, columns separated by `|`. */
  sql(text: string, database?: string): Promise<string>;
  /** SIGQUIT to the server, as `pg_ctl stop -m immediate`: a crash. Resolves when it is gone. */
  crash(): Promise<void>;
  /** In order, sessions are ended. */
  stop(): Promise<void>;
  /** After `crash` or `stop`, on the same port; resolves when it answers. */
  start(): Promise<void>;
  /** Process id of the server. */
  readonly pid: number;
  /** Stops the server and removes everything. */
  remove(): Promise<void>;
}

export interface TestPostgresDatabase {
  readonly name: string;
  /** `postgres://…` */
  readonly url: string;
  sql(text: string): Promise<string>;
  /** Ends its sessions and removes what Selvedge made in it. */
  drop(): Promise<void>;
}

const run = promisify(execFile);

/** Needs `initdb` and `postgres`: see `requireTool`. Remove it in the end. */
export async function startTestPostgres(options: TestPostgresOptions = {}): Promise<TestPostgres> {
  const server = new Server(options);
  try {
    await server.initialize();
    await server.start();
  } catch (error) {
    await server.remove();
    throw error;
  }
  return server;
}

class Server implements TestPostgres {
  readonly directory = mkdtempSync(join(tmpdir(), 'selvedge-pg-'));
  readonly user: string;
  readonly #account: { uid?: number; gid?: number };
  readonly #options: TestPostgresOptions;
  /** Databases that were used before: to make one anew takes longer than a short test. */
  readonly #empty: string[] = [];
  #port = 0;
  #process: ChildProcess | undefined;

  constructor(options: TestPostgresOptions) {
    this.#options = options;
    const account = process.getuid?.() === 0 ? findAccount() : undefined;
    this.user = account?.name ?? '';
    this.#account = account === undefined ? {} : { uid: account.uid, gid: account.gid };
    if (account !== undefined) chownSync(this.directory, account.uid, account.gid);
  }

  get port(): number {
    return this.#port;
  }

  get pid(): number {
    const { pid } = this.#process ?? {};
    if (pid === undefined) throw new Error('PostgreSQL is not running');
    return pid;
  }

  async initialize(): Promise<void> {
    const args = ['-D', this.directory, '--username=selvedge', '--auth=trust', '--encoding=UTF8'];
    const options = ['--locale=C', '--no-sync', '--no-instructions'];
    await run(getTool('initdb'), [...args, ...options], { ...this.#account, cwd: '/' });
    const { isDurable = false, settings = [] } = this.#options;
    const lines = [
      `fsync = ${isDurable ? 'on' : 'off'}`,
      `full_page_writes = ${isDurable ? 'on' : 'off'}`,
      `unix_socket_directories = '${this.directory}'`,
      `listen_addresses = '127.0.0.1'`,
      'shared_buffers = 64MB',
      'max_connections = 200',
      'log_checkpoints = off',
      ...settings,
    ];
    appendFileSync(join(this.directory, 'postgresql.conf'), `${lines.join('\n')}\n`);
  }

  async start(): Promise<void> {
    // The port is free a moment before PostgreSQL takes it; when somebody else was faster, the next one will do.
    for (let attempt = 1; ; attempt++) {
      if (this.#port === 0) this.#port = await freePort();
      const output = await this.#launch();
      if (output === undefined) return;
      const isTaken = output.includes('Address already in use');
      if (!isTaken || attempt === 5) throw new Error(`PostgreSQL did not start:\n${output}`);
      this.#port = 0;
    }
  }

  /** Returns what the server said when it did not start. */
  async #launch(): Promise<string | undefined> {
    const child = spawn(getTool('postgres'), ['-D', this.directory, '-p', String(this.#port)], {
      ...this.#account,
      cwd: '/',
      stdio: ['ignore', 'ignore', 'pipe'],
    });
    this.#process = child;
    const output: string[] = [];
    for await (const line of createInterface({ input: child.stderr })) {
      output.push(line);
      if (!line.includes('ready to accept connections')) continue;
      child.stderr.resume();
      return undefined;
    }
    return output.join('\n');
  }

  async createDatabase(): Promise<TestPostgresDatabase> {
    const name = this.#empty.pop() ?? (await this.#makeDatabase());
    return {
      name,
      url: `postgres://selvedge@127.0.0.1:${this.#port}/${name}`,
      sql: (text) => this.sql(text, name),
      drop: async () => {
        await this.sql(
          `SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '${name}' AND pid <> pg_backend_pid();
           SET client_min_messages = warning; DROP SCHEMA IF EXISTS selvedge CASCADE`,
          name,
        );
        this.#empty.push(name);
      },
    };
  }

  async #makeDatabase(): Promise<string> {
    const name = `t${randomBytes(6).toString('hex')}`;
    await this.sql(`CREATE DATABASE ${name}`);
    return name;
  }

  async sql(text: string, database = 'postgres'): Promise<string> {
    const address = ['-h', this.directory, '-p', String(this.#port), '-U', 'selvedge', '-d', database];
    const options = ['-X', '-A', '-t', '-q', '-v', 'ON_ERROR_STOP=1'];
    const { stdout } = await run(getTool('psql'), [...address, ...options, '-c', text]);
    return stdout.trimEnd();
  }

  crash(): Promise<void> {
    return this.#end('SIGQUIT');
  }

  stop(): Promise<void> {
    return this.#end('SIGINT');
  }

  async #end(signal: NodeJS.Signals): Promise<void> {
    const child = this.#process;
    this.#process = undefined;
    if (child === undefined || child.exitCode !== null || child.signalCode !== null) return;
    const exited = once(child, 'exit');
    child.kill(signal);
    await exited;
  }

  async remove(): Promise<void> {
    await this.crash();
    rmSync(this.directory, { recursive: true, force: true });
  }
}

/** PostgreSQL refuses to run as root. */
function findAccount(): { name: string; uid: number; gid: number } {
  for (const name of ['postgres', 'nobody']) {
    const [uid, gid] = ['-u', '-g'].map((flag) => spawnSync('id', [flag, name], { encoding: 'utf8' }));
    if (uid?.status === 0 && gid?.status === 0) {
      return { name, uid: Number(uid.stdout), gid: Number(gid.stdout) };
    }
  }
  throw new Error('there is neither a user "postgres" nor "nobody" to run PostgreSQL as');
}
