import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { appendFileSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { ProcessLedger } from './leftovers.ts';

describe('the ledger of processes', () => {
  let folder: string;
  before(() => {
    folder = mkdtempSync(join(tmpdir(), 'svg-ledger-'));
  });
  after(() => rmSync(folder, { recursive: true }));

  test('what a killed lab left running is ended by the next one', async () => {
    const file = join(folder, 'one');
    const ledger = await ProcessLedger.open(file);
    const child = spawn('sleep', ['600'], { detached: true, stdio: 'ignore' });
    const ended = new Promise((resolve) => child.once('exit', resolve));
    ledger.add(child.pid ?? 0);
    // The lab itself is gone: a process id that this boot never gave out.
    const [, ...started] = readFileSync(file, 'utf8').split('\n');
    writeFileSync(file, ['999999999 1 boot', ...started].join('\n'));
    await ProcessLedger.open(file);
    await ended;
  });

  test('a process that only has the id of an old one is left alone', async () => {
    const file = join(folder, 'two');
    const child = spawn('sleep', ['600'], { detached: true, stdio: 'ignore' });
    await ProcessLedger.open(file);
    appendFileSync(file, `${child.pid} 1 another-boot\n`);
    await ProcessLedger.open(file);
    assert.equal(child.exitCode, null);
    assert.equal(child.signalCode, null);
    child.kill();
  });

  test('a lab that is alive keeps others out', async () => {
    const file = join(folder, 'three');
    await ProcessLedger.open(file);
    const other = spawn('sleep', ['600'], { stdio: 'ignore' });
    const ledger = await ProcessLedger.open(file);
    ledger.add(other.pid ?? 0);
    const [, line = ''] = readFileSync(file, 'utf8').split('\n');
    writeFileSync(file, `${line}\n`);
    await assert.rejects(ProcessLedger.open(file), /works on this data folder/);
    other.kill();
  });
});
