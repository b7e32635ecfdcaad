import assert from 'node:assert/strict';
import { chmod, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, test } from 'node:test';
import type { Logger } from '@selvedge/api';
import { systemClock } from '@selvedge/api/node';
import { DnsmasqProcess } from './dnsmasq-process.ts';

const logger: Logger = {
  debug: () => {},
  info: () => {},
  warn: () => {},
  error: () => {},
  child: () => logger,
};

describe('dnsmasq as a child', () => {
  let folder: string;
  let states: (string | undefined)[];
  let child: DnsmasqProcess | undefined;
  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), 'svg-child-'));
    states = [];
  });
  afterEach(async () => {
    await child?.stop();
    await rm(folder, { recursive: true, force: true });
  });

  const run = (program: string) => {
    child = new DnsmasqProcess({
      program,
      configFile: join(folder, 'dnsmasq.conf'),
      onLine: () => {},
      onState: (problem) => void states.push(problem),
      clock: systemClock,
      monotonicMs: () => performance.now(),
      logger,
    });
    return child;
  };

  /** A shell program in the place of dnsmasq: what it does is the fault under test. */
  const start = async (script: string) => {
    const program = join(folder, 'program');
    await writeFile(program, `#!/bin/sh\necho start >> ${folder}/starts\n${script}\n`);
    await chmod(program, 0o755);
    return run(program);
  };
  const starts = async () =>
    (await readFile(join(folder, 'starts'), 'utf8').catch(() => '')).split('\n').length - 1;

  test('that ends at once is started again, and its last words are told', async () => {
    await start('echo "dnsmasq: failed to bind: Address already in use" >&2; exit 2');
    await eventually(async () => (await starts()) >= 3);
    assert.equal(states[0], 'dnsmasq ended (exit code 2): failed to bind: Address already in use');
  });

  test('that ends at once is not started faster and faster', async () => {
    await start('exit 1');
    await eventually(async () => (await starts()) >= 3);
    const before = await starts();
    await systemClock.sleep(700);
    assert.ok((await starts()) - before <= 1);
  });

  test('that runs is told to run, and is stopped also when it does not listen', async () => {
    const process = await start(
      'echo "dnsmasq[1]: started, version 2.90" >&2; trap "" TERM; while :; do sleep 0.1; done',
    );
    await eventually(() => states.length > 0);
    assert.deepEqual(states, [undefined]);
    await process.stop();
    assert.equal(await starts(), 1);
  });

  test('is started anew at once with a new configuration', async () => {
    const process = await start('echo "dnsmasq: started" >&2; exec sleep 600');
    await eventually(async () => (await starts()) === 1 && states.length === 1);
    process.restart();
    await eventually(async () => (await starts()) === 2 && states.length === 2);
    assert.deepEqual(states, [undefined, undefined]);
  });

  test('that is not installed is told with what to install', async () => {
    run(join(folder, 'nothing'));
    await eventually(() => states.length > 0);
    assert.match(states[0] ?? '', /install the package dnsmasq-base/);
  });
});

async function eventually(isSo: () => boolean | Promise<boolean>): Promise<void> {
  for (let waited = 0; waited < 60_000; waited += 20) {
    if (await isSo()) return;
    await systemClock.sleep(20);
  }
  assert.fail('it did not come to pass');
}
