import { spawn, type SpawnOptionsWithoutStdio } from 'node:child_process';
import { once } from 'node:events';
import { connect } from 'node:net';
import type { Duplex } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import type { CommandStreams, RemoteCommand, StreamBackend, TerminalSize } from '../stream-backend.ts';

/** Runs commands on this machine and forwards its ports; for tests. */
export class MachineBackend implements StreamBackend {
  readonly sizes: TerminalSize[] = [];
  /** Commands whose client left. */
  left = 0;
  readonly #place: Pick<SpawnOptionsWithoutStdio, 'cwd' | 'env'>;

  /** Where commands run; absent: as the tests do. */
  constructor(place: Pick<SpawnOptionsWithoutStdio, 'cwd' | 'env'> = {}) {
    this.#place = place;
  }

  async exec({ command }: RemoteCommand, streams: CommandStreams): Promise<number> {
    const [program = '', ...args] = command;
    streams.onResize((size) => this.sizes.push(size));
    const child = spawn(program, args, { ...this.#place, stdio: ['pipe', 'pipe', 'pipe'] });
    streams.signal.addEventListener('abort', () => {
      this.left += 1;
      child.kill('SIGKILL');
    });
    const carried = Promise.allSettled([
      pipeline(streams.stdin, child.stdin),
      pipeline(child.stdout, streams.stdout, { end: false }),
      pipeline(child.stderr, streams.stderr, { end: false }),
    ]);
    const [code] = (await once(child, 'exit')) as [number | null];
    streams.stdin.destroy();
    await carried;
    return code ?? 137;
  }

  async attach(_command: RemoteCommand, streams: CommandStreams): Promise<void> {
    streams.stdout.write('attached\n');
    await pipeline(streams.stdin, streams.stdout, { end: false });
  }

  async portForward(port: number): Promise<Duplex> {
    const socket = connect({ host: '127.0.0.1', port, allowHalfOpen: true });
    await once(socket, 'connect');
    return socket;
  }
}
