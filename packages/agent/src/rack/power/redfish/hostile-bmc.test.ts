import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer, type RequestListener } from 'node:http';
import type { AddressInfo } from 'node:net';
import { type TestContext, test } from 'node:test';
import fc from 'fast-check';
import { type PowerDriver, PowerError } from '../power-driver.ts';
import { never, startTestBmc } from '../testing/test-bmc.ts';

type Junk = (value: unknown) => unknown;

const junkValues = [
  null,
  7,
  -1,
  '',
  'x'.repeat(3_000),
  '\u001b[31m',
  [],
  [null],
  {},
  { '@odata.id': 7 },
  true,
  'http://127.0.0.2/',
];

/** How much of the answers is spoilt, and with which status. */
const spoilings = fc.record({
  seed: fc.integer({ min: 1, max: 1_000_000 }),
  share: fc.constantFrom(0.02, 0.1, 0.4),
  status: fc.constantFrom(undefined, 200, 202, 204, 400, 403, 404, 409, 412, 428, 500),
});

test('whatever a BMC answers, calls end, and fail with a PowerError at most', async (t) => {
  const { machine, emulator, open, clock } = await startTestBmc(t, {
    quirks: ['EtagRequired', 'InternalMediaSlots'],
  });
  let spoil: { random: () => number; share: number; status: number | undefined } | undefined;
  const url = await serve(t, (req, res) => {
    void (async () => {
      const chunks: Buffer[] = [];
      for await (const chunk of req as AsyncIterable<Buffer>) chunks.push(chunk);
      const headers = Object.entries(req.headers).filter(
        ([name]) => !/^(host|connection|content-length)$/.test(name),
      );
      const answer = await fetch(emulator.url + req.url, {
        method: req.method ?? 'GET',
        headers: Object.fromEntries(headers) as Record<string, string>,
        ...(chunks.length > 0 ? { body: Buffer.concat(chunks) } : {}),
      });
      const text = await answer.text();
      const { random, share, status } = spoil ?? { random: () => 1, share: 0, status: undefined };
      const junk: Junk = (value) =>
        random() < share ? junkValues[Math.floor(random() * junkValues.length)] : value;
      const isSpoilt = status !== undefined && random() < share;
      const kept = ['x-auth-token', 'location', 'etag'].flatMap((name) => {
        const value = answer.headers.get(name);
        return value === null ? [] : [[name, value]];
      });
      res.writeHead(isSpoilt ? status : answer.status, Object.fromEntries(kept) as Record<string, string>);
      res.end(text === '' || res.statusCode === 204 ? '' : JSON.stringify(mutate(JSON.parse(text), junk)));
    })().catch(() => res.destroy());
  });
  await fc.assert(
    fc.asyncProperty(spoilings, async ({ seed, share, status }) => {
      spoil = { random: randomFrom(seed), share, status };
      const driver = open({ bmc: { address: url } });
      for (const call of callsOf(driver))
        await call().catch((error: unknown) => {
          assert.ok(error instanceof PowerError, String(error instanceof Error ? error.stack : error));
          assert.ok(error.message.length < 2_000);
          // oxlint-disable-next-line no-control-regex
          assert.ok(!/[\u0000-\u0008\u001b]/.test(error.message), 'nothing that a terminal would obey');
        });
      await driver.close();
      spoil = undefined;
      // A refused login is forgotten.
      await clock.sleep(301_000);
    }),
    { numRuns: 25 },
  );
  spoil = undefined;
  assert.equal(await open({ bmc: { address: url } }).state(never()), machine.isOn() ? 'On' : 'Off');
});

test('a redirect to another host is refused, and gets no login', async (t) => {
  const { open } = await startTestBmc(t);
  const heard: string[] = [];
  const elsewhere = await serve(t, (req, res) => {
    heard.push(`${req.method} ${req.url}`);
    res.end('{}');
  });
  const url = await serve(t, (req, res) => {
    res.writeHead(307, { location: elsewhere.replace('127.0.0.1', 'localhost') + (req.url ?? '') }).end();
  });
  await assert.rejects(open({ bmc: { address: url } }).turn('On', never()), {
    reason: 'Invalid',
    message: /redirects to localhost/,
  });
  assert.deepEqual(heard, []);
});

test('paths that lead outside the BMC are not followed', async (t) => {
  const { open } = await startTestBmc(t);
  const heard: string[] = [];
  const elsewhere = await serve(t, (req, res) => {
    heard.push(String(req.headers.authorization));
    res.end('{}');
  });
  const url = await serve(t, (_, res) => {
    res.end(
      JSON.stringify({
        '@odata.id': '/redfish/v1/',
        Systems: { '@odata.id': `${elsewhere}/redfish/v1/Systems` },
      }),
    );
  });
  await assert.rejects(open({ bmc: { address: url } }).state(never()), {
    reason: 'Invalid',
    message: /outside itself/,
  });
  assert.deepEqual(heard, []);
});

function callsOf(driver: PowerDriver): (() => Promise<unknown>)[] {
  return [
    () => driver.state(never()),
    () => driver.setBoot({ target: 'Network', mode: 'UEFI', isOnce: true }, never()),
    () => driver.turn('Cycle', never()),
    () => driver.identify(never()),
    async () => driver.bootMedia?.(new URL('http://10.10.0.1/boot.iso'), never()),
    async () => driver.ejectMedia?.(never()),
    () => driver.turn('Off', never()),
  ];
}

function mutate(value: unknown, junk: Junk): unknown {
  const spoilt = junk(value);
  if (spoilt !== value) return spoilt;
  if (Array.isArray(value)) return value.map((item) => mutate(item, junk));
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(Object.entries(value).map(([name, child]) => [name, mutate(child, junk)]));
}

/** Park and Miller's generator: the same seed spoils the same answers. */
function randomFrom(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state * 48_271) % 2_147_483_647;
    return state / 2_147_483_647;
  };
}

async function serve(t: TestContext, listener: RequestListener): Promise<string> {
  const server = createServer(listener);
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  t.after(() => {
    server.close();
    server.closeAllConnections();
  });
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
}
