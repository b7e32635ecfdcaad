import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createLogger } from '@selvedge/api/node';
import { FakeClock } from '@selvedge/testkit';
import { renewPeriodically } from './renew-periodically.ts';

test('a renewed certificate goes to the listener without a restart; a failure is tried again', async () => {
  const clock = new FakeClock();
  const stop = new AbortController();
  const shown: string[] = [];
  const answers = ['first', new Error('disk full'), 'first', 'second'];
  const renewal = renewPeriodically({
    identity: {
      serverCertificate: async () => {
        const answer = answers.shift() ?? 'second';
        if (answer instanceof Error) throw answer;
        return { key: 'key', certificate: answer };
      },
    },
    names: ['localhost'],
    listener: { setTls: ({ cert }) => void shown.push(cert) },
    clock,
    logger: createLogger({ level: 'silent' }),
    random: () => 0.5,
    signal: stop.signal,
  });
  for (let i = 0; i < 5; i++) await clock.advance(12 * 3_600_000);
  assert.deepEqual(shown, ['first', 'second']);
  stop.abort();
  await renewal;
  assert.equal(clock.sleeping, 0);
});
