import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { type TestContext, test } from 'node:test';
import { PowerQueues } from './power-queues.ts';
import { HastyClock } from './testing/hasty-clock.ts';
import { listLogger, never } from './testing/test-bmc.ts';
import { WebhookDriver } from './webhook-driver.ts';

const uuid = '4C4C4544-0035-4D10-8054-B4C04F4B4E31';
const boot = { target: 'Network', mode: 'UEFI', isOnce: true } as const;

test('a program of the user switches the machine and says how it is', async (t) => {
  const { driver, calls } = await startProgram(t);
  assert.equal(await driver.state(never()), 'Off');
  await driver.turn('On', never());
  assert.equal(await driver.state(never()), 'On');
  assert.deepEqual(await driver.setBoot(boot, never()), boot);
  assert.deepEqual(await driver.identify(never()), { uuid: uuid.toLowerCase(), quirks: [] });
  assert.deepEqual(calls.slice(0, 2), [
    'GET /plug/7/power Bearer let-me-in',
    'POST /plug/7/power Bearer let-me-in {"action":"On","macAddresses":["52:54:00:00:00:01"]}',
  ]);
  assert.equal(
    calls[3],
    'POST /plug/7/boot Bearer let-me-in {"target":"Network","mode":"UEFI","isOnce":true,"macAddresses":["52:54:00:00:00:01"]}',
  );
});

test('what it cannot do, will not do, or says without sense is told apart', async (t) => {
  const program = await startProgram(t);
  const { driver } = program;
  for (const [status, reason] of [
    [401, 'Unauthorized'],
    [404, 'Unsupported'],
    [501, 'Unsupported'],
    [409, 'Busy'],
    [503, 'Busy'],
    [400, 'Invalid'],
  ] as const) {
    program.status = status;
    // A refused login is remembered: each time another one.
    await assert.rejects(program.open(`token ${status}`).setBoot(boot, never()), { reason }, String(status));
  }
  program.status = 200;
  program.power = 'Perhaps';
  await assert.rejects(driver.state(never()), { reason: 'Unavailable', message: /On, Off or Unknown/ });
  program.target = 'Disk';
  await assert.rejects(driver.setBoot(boot, never()), { reason: 'NotHonoured' });
});

test('off and on whatever it reads; what cannot be turned off is cycled', async (t) => {
  const program = await startProgram(t);
  const actions = () => program.calls.map((call) => /"action":"(\w+)"/.exec(call)?.[1]);
  await program.driver.turn('ForcedCycle', never());
  assert.deepEqual(actions(), ['Off', 'On']);
  program.unable = 'Off';
  await program.driver.turn('ForcedCycle', never());
  assert.deepEqual(actions().slice(2), ['Off', 'Cycle']);
});

test('an address that is none, or holds a login, is refused', async (t) => {
  const { open } = await startProgram(t);
  for (const address of ['', 'plug', 'ftp://plug', 'https://me:secret@plug'])
    assert.throws(() => open('', address), { reason: 'Invalid' }, address);
});

async function startProgram(t: TestContext) {
  const program = { status: 200, power: 'Off', target: 'Network', unable: '' };
  const calls: string[] = [];
  const server = createServer((req, res) => {
    void (async () => {
      let body = '';
      for await (const chunk of req) body += String(chunk);
      calls.push(`${req.method} ${req.url} ${req.headers.authorization} ${body}`.trim());
      const request = (body === '' ? {} : JSON.parse(body)) as { action?: string };
      if (request.action !== undefined) program.power = request.action === 'On' ? 'On' : 'Off';
      const answer = req.url?.endsWith('/boot')
        ? { ...request, target: program.target }
        : { power: program.power, uuid };
      const status = request.action === program.unable ? 501 : program.status;
      res.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(answer));
    })();
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  t.after(() => server.close());
  const clock = new HastyClock();
  const queues = new PowerQueues({ clock });
  const base = `http://127.0.0.1:${(server.address() as AddressInfo).port}/plug/7/`;
  const open = (token = 'let-me-in', address = base) =>
    new WebhookDriver(
      {
        bmc: { type: 'Webhook', address },
        login: { token },
        macAddresses: ['52:54:00:00:00:01'],
        broadcasts: [],
        clock,
        logger: listLogger([]),
      },
      queues,
    );
  return Object.assign(program, { driver: open(), open, calls });
}
