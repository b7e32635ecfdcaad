import assert from 'node:assert/strict';
import { test } from 'node:test';
import { requireTool } from '@selvedge/testkit';
import { startTrial } from '../testing/start-trial.ts';
import type { TestRack } from '../testing/test-rack.ts';

const needs = requireTool('busybox');

const run = (
  rack: TestRack,
  text: string,
  options: { timeoutSeconds?: number; forHardware?: string[]; hasStarted?: boolean } = {},
) => {
  rack.scripts.set('20-test', text);
  const { timeoutSeconds = 60, forHardware = [], hasStarted = false } = options;
  const name = '20-test';
  return rack.give({ task: 'script', name, timeoutSeconds, forHardware, mayReboot: true, hasStarted });
};

test('a script passes or fails by its exit code, with its output', needs, async (t) => {
  const { rack } = await startTrial(t);
  const passed = await run(
    rack,
    '#!/bin/sh\n# --- Start MAAS 1.0 script metadata ---\necho out\necho err >&2\n',
  );
  assert.deepEqual([passed.status, passed.fields.get('exit'), passed.output], ['ok', '0', 'out\nerr\n']);
  const failed = await run(rack, '#!/bin/sh\nexit 7\n');
  assert.deepEqual([failed.status, failed.fields.get('exit')], ['failed', '7']);
});

test('what a script writes to RESULT_PATH decides, and its results become values', needs, async (t) => {
  const { rack } = await startTrial(t);
  const yaml = ['status: degraded', 'results:', "  speed: '12 MB/s'", '  errors: 0'].join('\\n');
  const answer = await run(rack, `#!/bin/sh\nprintf "${yaml}\\n" >"$RESULT_PATH"\n`);
  assert.equal(answer.status, 'degraded');
  assert.deepEqual(Object.fromEntries(answer.values), { speed: '12 MB/s', errors: '0' });
  assert.equal((await run(rack, '#!/bin/sh\necho "status: skipped" >"$RESULT_PATH"\n')).status, 'skipped');
  assert.equal((await run(rack, '#!/bin/sh\necho "status: great" >"$RESULT_PATH"\n')).status, 'failed');
});

test('a script learns whether the box restarted in the middle of it', needs, async (t) => {
  const { rack } = await startTrial(t);
  const text = '#!/bin/sh\necho "$HAS_STARTED"\n';
  assert.equal((await run(rack, text)).output, 'False\n');
  assert.equal((await run(rack, text, { hasStarted: true })).output, 'True\n');
});

test('a script that does not end is ended, with what it started', needs, async (t) => {
  const { rack } = await startTrial(t);
  const answer = await run(rack, '#!/bin/sh\necho begun\nsleep 1000 &\nsleep 1000\n', { timeoutSeconds: 2 });
  assert.equal(answer.status, 'timedout', JSON.stringify([...answer.fields]));
  assert.match(answer.output, /begun/);
});

test(
  'a script for hardware that the box does not have is skipped without being fetched',
  needs,
  async (t) => {
    const { rack, box } = await startTrial(t);
    box.write('sys/bus/pci/devices/0000:01:00.0/vendor', '0x10de\n');
    box.write('sys/bus/pci/devices/0000:01:00.0/device', '0x1db6\n');
    box.write('sys/devices/pci0000:00/0000:01:00.0/modalias', 'pci:v000010DEd00001DB6sv0\n');
    box.write('sys/class/dmi/id/sys_vendor', 'Acme Corp\n');
    const text = '#!/bin/sh\nexit 0\n';
    const statusFor = async (wish: string) =>
      (await run(rack, text, { forHardware: ['pci:1:2', wish] })).status;
    assert.equal(await statusFor('pci:10DE:1db6'), 'ok');
    assert.equal(await statusFor('modalias:pci:v000010DEd*'), 'ok');
    assert.equal(await statusFor('system_vendor:Acme Corp'), 'ok');
    const fetched = rack.requests.filter((request) => request.includes('/script/')).length;
    for (const wish of ['pci:10de:1db7', 'usb:10de:1db6', 'modalias:pci:v00008086*', 'system_vendor:Acme']) {
      assert.equal(await statusFor(wish), 'skipped', wish);
    }
    assert.equal(rack.requests.filter((request) => request.includes('/script/')).length, fetched);
  },
);

test('a script in a language that is not there says so', needs, async (t) => {
  const { rack } = await startTrial(t);
  const answer = await run(rack, '#!/usr/bin/env python9\nprint(1)\n');
  assert.equal(answer.status, 'failed');
  assert.match(answer.fields.get('message') ?? '', /is not in the inspection system; it has sh and bash/);
  assert.equal((await run(rack, 'echo no first line\n')).status, 'failed');
});
