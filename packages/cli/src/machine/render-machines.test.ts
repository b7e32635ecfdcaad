import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { plainPaint } from '../program/terminal.ts';
import type { MachineRow } from './read-machine-rows.ts';
import { renderMachines } from './render-machines.ts';

const writing: MachineRow = {
  name: 'rack-7',
  site: 'berlin',
  phase: 'Provisioning',
  since: '3m20s',
  status: 'Writing',
  power: 'On',
  image: '(debian-12)',
  consumer: 'MachineClaim/database',
  cores: '32',
  memory: '128Gi',
  disks: '2Ti',
  note: 'Writing 34 %',
};
const failed = {
  ...writing,
  name: 'rack-8',
  status: 'ConsentMissing',
  note: `ConsentMissing: ${'x'.repeat(200)}`,
};
const empty = Object.fromEntries(Object.keys(writing).map((key) => [key, ''])) as MachineRow;

describe('machines in a list', () => {
  test('are one line each with what matters', () => {
    const lines = renderMachines([writing, failed], plainPaint).split('\n');
    assert.equal(lines.length, 3);
    assert.match(
      lines[1] ?? '',
      /^rack-7 +berlin +Provisioning +3m20s +Writing +On +\(debian-12\) +database +32 +128 GiB +2 TiB +Writing 34 %$/,
    );
    assert.ok(lines[2]?.endsWith(failed.note));
  });

  for (const screen of [200, 120, 80]) {
    test(`fit a terminal of ${screen} columns; name, phase, status and note stay`, () => {
      const lines = renderMachines([writing, failed], plainPaint, screen).split('\n');
      for (const line of lines) assert.ok(line.length <= screen, line);
      assert.match(lines[0] ?? '', /^NAME .*PHASE +SINCE +STATUS .*NOTE$/);
      assert.match(lines[1] ?? '', /^rack-7 .*Provisioning .*Writing .*Writing 34 %$/);
      assert.match(lines[2] ?? '', /^rack-8 .*ConsentMissing: .*…$/);
    });
  }

  test('that nobody has spoken of have words for it', () => {
    const [, line] = renderMachines([{ ...empty, name: 'new', site: 'berlin' }], plainPaint).split('\n');
    assert.match(line ?? '', /^new +berlin +Unknown +- +Unknown +Unknown +- +- +- +- +-$/);
  });
});
