import assert from 'node:assert/strict';
import { once } from 'node:events';
import { type AddressInfo, createServer } from 'node:net';
import { Readable } from 'node:stream';
import { text } from 'node:stream/consumers';
import { describe, test } from 'node:test';
import { setImmediate } from 'node:timers/promises';
import { isStatusError } from '@selvedge/api';
import type { LinkCall, LinkDoor } from '../../link/link-door.ts';
import { serveStreams } from '../../link/streams/testing/stream-server.ts';
import { BmcHosts } from '../power/bmc-hosts.ts';
import { ConsoleBackend } from './console-backend.ts';
import type { MachineConsole } from './machine-console.ts';
import { withRackDoor } from './rack-door.ts';
import { AttachedTerminal } from './testing/attached-terminal.ts';
import { startSerialPort } from './testing/serial-port.ts';

const uid = '0b0a2d52-0000-4000-8000-000000000001';

class SilentConsole implements MachineConsole {
  readonly login = {};
  readonly log = 'booted\nready\n';
  readonly listeners = new Set<(line: string) => void>();

  onLog(listener: (line: string) => void): () => void {
    this.listeners.add(listener);
    return () => this.listeners.delete(listener);
  }
}

const call = (path: string, method = 'GET'): LinkCall => ({
  method,
  path,
  headers: {},
  user: { name: 'kim', groups: [] },
  signal: new AbortController().signal,
});

const behind: LinkDoor = {
  answer: ({ path }) =>
    Promise.resolve({ status: 200, headers: {}, body: Readable.from([`behind ${path}`]) }),
  upgrade: () => Promise.reject(new Error('behind')),
};
const nothing = () => Readable.from([]);

describe('the door of a site with a rack', () => {
  const door = withRackDoor(behind, { console: (name) => (name === uid ? new SilentConsole() : undefined) });

  test('gives the log of a machine, and passes all else on', async () => {
    const log = await door.answer(call(`/rack/v1/machines/${uid}/log`), nothing());
    assert.equal(log.status, 200);
    assert.equal(await text(log.body), 'booted\nready\n');
    const other = await door.answer(call('/api/v1/pods'), nothing());
    assert.equal(await text(other.body), 'behind /api/v1/pods');
    await assert.rejects(door.upgrade(call('/api/v1/pods'), 'websocket'), /behind/);
  });

  const refused: [string, string, string][] = [
    ['GET', `/rack/v1/machines/${uid.replace('1', '2')}/log`, 'NotFound'],
    ['GET', '/rack/v1/machines', 'NotFound'],
    ['GET', `/rack/v1/machines/${uid}/../${uid}/log`, 'NotFound'],
    ['GET', `/rack/v1/machines/${uid}/console`, 'BadRequest'],
    ['DELETE', `/rack/v1/machines/${uid}/log`, 'MethodNotAllowed'],
  ];
  for (const [method, path, reason] of refused) {
    test(`${method} ${path.slice(0, 40)}… is ${reason}`, async () => {
      await assert.rejects(
        door.answer(call(path, method), nothing()),
        (error) => isStatusError(error) && error.reason === reason,
      );
    });
  }

  test('upgrades nothing but a console', async () => {
    const isBad = (error: unknown) => isStatusError(error, 'BadRequest');
    await assert.rejects(door.upgrade(call(`/rack/v1/machines/${uid}/log`), 'websocket'), isBad);
    const asked = call(`/rack/v1/machines/${uid}/console?stdin=true`);
    await assert.rejects(door.upgrade(asked, 'h2c'), isBad);
  });
});

describe('the console of a machine', () => {
  test('is the serial port that its BMC names: keys go there, what it shows comes back', async (t) => {
    const port = await startSerialPort(t);
    const console = Object.assign(new SilentConsole(), {
      bmc: { type: 'Manual' as const, console: `tcp://127.0.0.1:${port}` },
    });
    await using server = await serveStreams(new ConsoleBackend(console));
    const terminal = new AttachedTerminal(server.port);
    await terminal.shows('login: ');
    terminal.type('root\r');
    await terminal.shows('login: root\r');
    terminal.leave();
    await terminal.closed;
  });

  test('says so when nobody listens at the serial port', async () => {
    const server = createServer();
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    const { port } = server.address() as AddressInfo;
    server.close();
    await once(server, 'close');
    const console = Object.assign(new SilentConsole(), {
      bmc: { type: 'Manual' as const, console: `tcp://127.0.0.1:${port}` },
    });
    await using streams = await serveStreams(new ConsoleBackend(console));
    const terminal = new AttachedTerminal(streams.port);
    await terminal.closed;
    assert.equal(terminal.end?.status, 'Failure');
    assert.match(terminal.end?.message ?? '', /no console at tcp:/);
  });

  for (const host of ['127.0.0.1', 'localhost', '2130706433']) {
    test(`is not a port of the rack's own machine (${host})`, async (t) => {
      const port = await startSerialPort(t);
      const console = Object.assign(new SilentConsole(), {
        bmc: { type: 'Manual' as const, console: `tcp://${host}:${port}` },
        hosts: new BmcHosts({ allowsLocal: false }),
      });
      await using streams = await serveStreams(new ConsoleBackend(console));
      const terminal = new AttachedTerminal(streams.port);
      await terminal.closed;
      assert.equal(terminal.end?.status, 'Failure');
      assert.match(terminal.end?.message ?? '', /no console.*--rack-allow-local-bmc/);
    });
  }

  test('of a machine without one is what its inspection system writes, as long as somebody looks', async (t) => {
    const console = new SilentConsole();
    await using server = await serveStreams(new ConsoleBackend(console));
    const terminal = new AttachedTerminal(server.port);
    await terminal.shows('booted\r\nready\r\n');
    assert.equal(console.listeners.size, 1);
    for (const listener of console.listeners) listener('Writing\n');
    await terminal.shows('Writing\r\n');
    terminal.leave();
    await terminal.closed;
    while (console.listeners.size > 0) await setImmediate(undefined, { signal: t.signal });
  });
});
