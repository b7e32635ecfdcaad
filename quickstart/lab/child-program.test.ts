import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { ChildProgram } from './child-program.ts';

describe('a program of the lab', () => {
  let folder: string;
  before(() => {
    folder = mkdtempSync(join(tmpdir(), 'svg-program-'));
  });
  after(() => rmSync(folder, { recursive: true }));

  const start = (script: string) =>
    ChildProgram.start({ name: 'it', command: ['sh', '-c', script], logFile: join(folder, 'log') });

  test('that ends while it is waited for is an error with its last words', async () => {
    const program = await start('echo the port is taken; exit 7');
    await assert.rejects(
      program.ready(async () => undefined, { seconds: 30, what: 'is ready' }),
      /exit code 7[\s\S]*the port is taken/,
    );
  });

  test('that does not obey SIGTERM is killed with its children', async () => {
    const program = await start('trap "" TERM; sleep 600 & echo child $!; while true; do sleep 1; done');
    const child = await program.ready(
      async () => /child (\d+)/.exec(readFileSync(join(folder, 'log'), 'utf8'))?.[1],
      { seconds: 30, what: 'tells its child' },
    );
    await program.stop(0.3);
    assert.match(program.exit ?? '', /SIGKILL/);
    const state = () => {
      try {
        return readFileSync(`/proc/${child}/stat`, 'utf8').split(' ')[2];
      } catch {
        return 'gone';
      }
    };
    while (!['gone', 'Z'].includes(state() ?? '')) await new Promise((resolve) => setImmediate(resolve));
  });

  test('that is not there is an error', async () => {
    const options = { name: 'it', command: ['/no/such/program'], logFile: join(folder, 'log') };
    await assert.rejects(ChildProgram.start(options), /cannot start it/);
  });
});
