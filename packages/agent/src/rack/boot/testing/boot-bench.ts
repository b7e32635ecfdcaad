import { existsSync } from 'node:fs';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { createServer as createHttpServer, request } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { systemClock } from '@selvedge/api/node';
import { BootServer, type BootServerOptions } from '../boot-server.ts';
import { ScriptedDesk } from './scripted-desk.ts';

export interface HttpAnswer {
  readonly status: number;
  readonly headers: Readonly<Record<string, string | string[] | undefined>>;
  readonly body: string;
}

export interface HttpQuestion {
  readonly method?: string;
  readonly body?: string;
  readonly token?: string;
  readonly headers?: Readonly<Record<string, string>>;
  /** Of the box: an address of 127.0.0.0/8. */
  readonly from?: string;
}

/** A boot server on loopback with a scripted desk, and boot files in a folder. */
export class BootBench {
  readonly desk: ScriptedDesk = new ScriptedDesk();
  readonly folder: string;
  readonly errors: string[] = [];
  readonly server: BootServer;
  nowMs = 0;
  port = 0;

  private constructor(folder: string, options: Partial<BootServerOptions>) {
    this.folder = folder;
    const error = (message: string) => void this.errors.push(message);
    const logger = { debug: () => {}, info: () => {}, warn: () => {}, error, child: () => logger };
    this.server = new BootServer({
      desk: this.desk,
      files: {
        findBootFile: (architecture, name) => {
          const path = join(folder, name);
          return Promise.resolve(architecture === 'amd64' && existsSync(path) ? path : undefined);
        },
      },
      clock: systemClock,
      monotonicMs: () => this.nowMs,
      logger,
      ...options,
    });
  }

  static async start(options: Partial<BootServerOptions> = {}): Promise<BootBench> {
    const folder = await mkdtemp(join(tmpdir(), 'svg-boot-'));
    for (const name of ['undionly.kpxe', 'snponly.efi', 'vmlinuz', 'initrd.img']) {
      await writeFile(join(folder, name), `${name} of amd64`);
    }
    const bench = new BootBench(folder, options);
    await bench.server.setListen([{ host: '127.0.0.1', port: 0 }]);
    bench.port = bench.server.addresses()[0]?.port ?? 0;
    return bench;
  }

  get url(): string {
    return `http://127.0.0.1:${this.port}`;
  }

  ask(path: string, question: HttpQuestion = {}): Promise<HttpAnswer> {
    const { method = 'GET', body, token, headers, from } = question;
    return new Promise((resolve, reject) => {
      const asked = request(
        {
          host: '127.0.0.1',
          port: this.port,
          path,
          method,
          ...(from === undefined ? {} : { localAddress: from }),
          headers: { ...headers, ...(token === undefined ? {} : { authorization: `Bearer ${token}` }) },
          agent: false,
        },
        (answer) => {
          const pieces: Buffer[] = [];
          answer.on('data', (piece: Buffer) => pieces.push(piece));
          answer.on('error', reject);
          answer.on('end', () =>
            resolve({
              status: answer.statusCode ?? 0,
              headers: answer.headers,
              body: Buffer.concat(pieces).toString('utf8'),
            }),
          );
        },
      );
      asked.on('error', reject);
      asked.end(body);
    });
  }

  /** Opens a session as the inspection system does. */
  async openSession(): Promise<string> {
    this.desk.nonces.set('nonce-1', '127.0.0.1');
    const { body } = await this.ask('/machine/v1/session', { method: 'POST', body: 'nonce nonce-1\n' });
    return body.replace('token ', '').trim();
  }

  async close(): Promise<void> {
    await this.server.close();
    await rm(this.folder, { recursive: true, force: true });
  }
}

/** A port that is in use as long as the test wants. */
export async function occupyPort(): Promise<{ port: number; release: () => Promise<void> }> {
  const server = createHttpServer();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const address = server.address();
  return {
    port: typeof address === 'object' && address !== null ? address.port : 0,
    release: () => new Promise((resolve) => server.close(() => resolve())),
  };
}
