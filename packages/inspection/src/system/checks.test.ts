import assert from 'node:assert/strict';
import { mkdirSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { findStaticBusybox, requireTool } from '@selvedge/testkit';
import { startTrial } from '../testing/start-trial.ts';
import type { TrialBox } from '../testing/trial-box.ts';

const needs = requireTool('busybox');
const diskBytes = 8 * 1024 * 1024;

/** A program that the box has, as a shell script. */
function addProgram(box: TrialBox, name: string, text: string): void {
  writeFileSync(join(box.directory, 'bin', name), `#!${join(box.directory, 'bin', 'sh')}\n${text}`, {
    mode: 0o755,
  });
}

const check = (name: 'memory' | 'disk' | 'network', timeoutSeconds = 60) =>
  ({ task: 'test', name, timeoutSeconds }) as const;

test('a test of the memory takes most of what is free, and says how far it is', {
  ...needs,
  timeout: 120_000,
}, async (t) => {
  const { rack, box } = await startTrial(t);
  box.write('proc/meminfo', 'MemTotal: 200000 kB\nMemAvailable:  102400 kB\n');
  const end = join(box.directory, 'end');
  const patterns = '  Stuck Address : \\b\\b\\bok         \\n  Random Value : \\b ok         \\n';
  addProgram(
    box,
    'memtester',
    `echo "$1 MiB, $2 round"\nprintf "${patterns}"\nuntil [ -e ${end} ]; do sleep 1; done\n`,
  );
  const given = rack.give(check('memory', 3600));
  const isTold = () => rack.progress.some((said) => /step Testing\ndone 2\ntotal 6\n/.test(said));
  while (!isTold()) await delay(100, undefined, { signal: t.signal });
  writeFileSync(end, '');
  const answer = await given;
  assert.equal(answer.status, 'ok', JSON.stringify([...answer.fields]));
  assert.match(answer.output, /^75 MiB, 1 round/);
  assert.equal(answer.values.get('tested-mebibytes'), '75');
});

test('each processor tests a share of the memory; the one that finds a fault is shown', needs, async (t) => {
  const { rack, box } = await startTrial(t);
  box.write('proc/meminfo', 'MemAvailable:  1048576 kB\n');
  for (const name of ['cpu0', 'cpu1', 'cpu2', 'cpufreq'])
    box.write(`sys/devices/system/cpu/${name}/online`, '1\n');
  // The one that makes the folder finds it.
  const fault = join(box.directory, 'fault');
  addProgram(box, 'memtester', `echo "$1 MiB"\nmkdir ${fault} || exit 0\necho FAILURE\nexit 4\n`);
  symlinkSync(findStaticBusybox() ?? 'missing', join(box.directory, 'bin', 'mkdir'));
  const answer = await rack.give(check('memory'));
  assert.equal(answer.values.get('tested-mebibytes'), '768');
  assert.deepEqual([answer.status, answer.fields.get('exit')], ['failed', '4'], answer.output);
  assert.match(answer.output, /256 MiB\nFAILURE/);
});

test('memory that does not give back what was written fails the test, and is said', needs, async (t) => {
  const { rack, box } = await startTrial(t);
  box.write('proc/meminfo', 'MemAvailable:  102400 kB\n');
  addProgram(box, 'memtester', 'echo "FAILURE: 0x1 != 0x3 at offset 0x0007"\nexit 4\n');
  const answer = await rack.give(check('memory'));
  assert.deepEqual(
    [answer.status, answer.fields.get('reason'), answer.fields.get('exit')],
    ['failed', 'TestFailed', '4'],
  );
  assert.match(answer.output, /0x0007/);
});

test('a test of the memory that takes too long is ended', needs, async (t) => {
  const { rack, box } = await startTrial(t);
  box.write('proc/meminfo', 'MemAvailable:  102400 kB\n');
  addProgram(box, 'memtester', 'sleep 1000\n');
  const answer = await rack.give(check('memory', 0));
  assert.equal(answer.status, 'timedout');
});

test('disks are read in many places, and one that fails is named', needs, async (t) => {
  const { rack, box } = await startTrial(t, [
    { id: 'sda', bytes: diskBytes },
    { id: 'sdb', bytes: diskBytes },
  ]);
  const good = await rack.give(check('disk'));
  assert.equal(good.status, 'ok', JSON.stringify([...good.fields]));
  assert.deepEqual(Object.fromEntries(good.values), { sda: 'readable', sdb: 'readable' });
  assert.ok(rack.progress.some((said) => /step Testing\ndone 64\ntotal 64\n/.test(said)));
  rmSync(box.disk('sdb'));
  mkdirSync(box.disk('sdb'));
  const bad = await rack.give(check('disk'));
  assert.deepEqual([bad.status, bad.fields.get('reason')], ['failed', 'TestFailed']);
  assert.match(bad.fields.get('message') ?? '', /^disk sdb cannot be read at byte 0/);
});

for (const [code, status] of [
  ['8', 'failed'],
  ['32', 'degraded'],
] as const) {
  test(`a disk whose drive ends smartctl with ${code} is ${status}`, needs, async (t) => {
    const { rack, box } = await startTrial(t, [{ id: 'sda', bytes: diskBytes }]);
    addProgram(box, 'smartctl', `echo "health of $2"\nexit ${code}\n`);
    const answer = await rack.give(check('disk'));
    assert.equal(answer.status, status, JSON.stringify([...answer.fields]));
  });
}

test('the network passes when the rack answers every request', needs, async (t) => {
  const { rack } = await startTrial(t);
  const answer = await rack.give(check('network'));
  assert.equal(answer.status, 'ok', JSON.stringify([...answer.fields]));
  assert.equal(answer.values.get('lost'), '0');
});
