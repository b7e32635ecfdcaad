import assert from 'node:assert/strict';
import { test } from 'node:test';
import { requireTool } from '@selvedge/testkit';
import { serveStreams } from '../../link/streams/testing/stream-server.ts';
import { startIpmiSimulator } from '../power/testing/ipmi-simulator.ts';
import { ConsoleBackend } from './console-backend.ts';
import { AttachedTerminal } from './testing/attached-terminal.ts';
import { startSerialPort } from './testing/serial-port.ts';

const needs = requireTool('ipmi_sim', 'ipmitool');

const consoleOf = (bmc: { readonly address: string }, login: { username: string; password: string }) =>
  new ConsoleBackend({
    bmc: { type: 'IPMI', address: bmc.address },
    login,
    log: '',
    onLog: () => () => undefined,
  });

test(
  'serial over LAN: keys go to the machine, what it shows comes back, and the next one gets in',
  needs,
  async (t) => {
    const port = await startSerialPort(t);
    const bmc = await startIpmiSimulator(t, { serialPort: port });
    await using server = await serveStreams(consoleOf(bmc, bmc.login));
    for (const word of ['first', 'second']) {
      let terminal = new AttachedTerminal(server.port);
      // The BMC says nothing by itself: what is typed before it listens is lost.
      for (let tries = 0; tries < 120 && !terminal.shown.includes(word); tries++) {
        // The session of the one before is closed at the BMC a moment after it left.
        if (word === 'second' && terminal.isOver) terminal = new AttachedTerminal(server.port);
        terminal.type(word);
        await terminal.pause(500);
      }
      assert.ok(terminal.shown.includes(word), `${terminal.shown} ${JSON.stringify(terminal.end)}`);
      assert.ok(!terminal.shown.includes('SOL Session'), 'nothing of ipmitool itself is shown');
      terminal.leave();
      await terminal.closed;
    }
  },
);

test('a wrong password is told as such, and not shown', needs, async (t) => {
  const bmc = await startIpmiSimulator(t);
  await using server = await serveStreams(consoleOf(bmc, { username: 'root', password: 'not-for-eyes' }));
  const terminal = new AttachedTerminal(server.port);
  await terminal.closed;
  assert.equal(terminal.end?.status, 'Failure');
  assert.match(terminal.end?.message ?? '', /refused the login/);
  assert.ok(!JSON.stringify(terminal.end).includes('not-for-eyes'));
});
