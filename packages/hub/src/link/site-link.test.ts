import assert from 'node:assert/strict';
import { performServerHandshake, type ServerHttp2Session } from 'node:http2';
import { type Duplex, duplexPair } from 'node:stream';
import { text } from 'node:stream/consumers';
import { setTimeout as pause } from 'node:timers/promises';
import { test, type TestContext } from 'node:test';
import { linkIdleSeconds } from '@selvedge/api';
import { createLogger, socketFor } from '@selvedge/api/node';
import { FakeClock } from '@selvedge/testkit';
import { SiteLink } from './site-link.ts';

interface Lab {
  readonly clock: FakeClock;
  readonly link: SiteLink;
  readonly site: ServerHttp2Session;
  /** Below the site's end. */
  readonly wire: Duplex;
  /** Whether the hub said good-bye. */
  readonly isToldGoodbye: () => boolean;
}

async function openLink(t: TestContext): Promise<Lab> {
  const clock = new FakeClock();
  const [transport, wire] = duplexPair();
  const site = performServerHandshake(await socketFor(wire), { settings: { enableConnectProtocol: true } });
  let toldGoodbye = false;
  site.on('error', () => {});
  site.once('goaway', () => (toldGoodbye = true));
  site.on('stream', (stream) => {
    stream.respond({ ':status': 200 });
    stream.end('ok');
  });
  const logger = createLogger({ level: 'silent' });
  const link = await SiteLink.open({ site: 'shop', transport, clock, logger, random: () => 0.5 });
  t.after(() => {
    link.destroy();
    site.destroy();
  });
  return { clock, link, site, wire, isToldGoodbye: () => toldGoodbye };
}

/** The hub's time goes on in steps, with time for answers between; how many seconds it was until `isOver`. */
async function secondsUntil(clock: FakeClock, isOver: () => boolean, most: number): Promise<number> {
  for (let seconds = 0; seconds <= most; seconds += 5) {
    if (isOver()) return seconds;
    await clock.advance(5000);
    await pause(10);
  }
  throw new Error(`not over after ${most} s`);
}

test('a link that nobody uses is closed with a good-bye, counted from the end of the last request', async (t) => {
  const { clock, link, isToldGoodbye } = await openLink(t);
  await assert.rejects(
    secondsUntil(clock, () => !link.isOpen, linkIdleSeconds - 60),
    /not over/,
  );
  const call = {
    site: 'shop',
    method: 'GET',
    path: '/api',
    headers: {},
    user: { name: 'anna', groups: [] },
    auditId: 'a',
    signal: new AbortController().signal,
  };
  assert.equal(await text((await link.answer(call, undefined)).body), 'ok');
  const seconds = await secondsUntil(clock, () => link.closed.aborted, linkIdleSeconds + 60);
  assert.ok(seconds >= linkIdleSeconds - 5, `${seconds}`);
  assert.ok(isToldGoodbye());
});

test('a site that is silent is given up when it has answered no ping in time', async (t) => {
  const { clock, link, wire, isToldGoodbye } = await openLink(t);
  await assert.rejects(
    secondsUntil(clock, () => !link.isOpen, 120),
    /not over/,
  );
  // As a connection that is dead without a word.
  wire.unpipe().pause();
  const seconds = await secondsUntil(clock, () => link.closed.aborted, 60);
  assert.ok(seconds >= 15, `${seconds}`);
  assert.ok(!isToldGoodbye());
  assert.equal(await link.isAlive(), false);
});
