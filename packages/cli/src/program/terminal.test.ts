import assert from 'node:assert/strict';
import { PassThrough } from 'node:stream';
import { describe, test } from 'node:test';
import { StatusError } from '@selvedge/api';
import { systemClock } from '@selvedge/api/node';
import { CommandError } from './exit-code.ts';
import { reportError } from './report-error.ts';
import { type CliProcess, clearTerminal, commandContext } from './terminal.ts';

const hostile = 'a\u001b[2J\u001b]0;title\u0007\u009b2J\rb';

function startProcess(env: Record<string, string> = {}): {
  process: CliProcess;
  stdout: () => string;
  stderr: () => string;
} {
  const [stdout, stderr] = [new PassThrough(), new PassThrough()];
  const read = (stream: PassThrough) => () => String(stream.read() ?? '');
  const process = {
    args: [],
    env,
    stdin: new PassThrough(),
    stdout: Object.assign(stdout, { isTTY: true }),
    stderr,
    clock: systemClock,
    signal: new AbortController().signal,
  };
  return { process, stdout: read(stdout), stderr: read(stderr) };
}

describe('what goes to the terminal', () => {
  test('is steered by our own colours, and by nobody else', () => {
    const { process, stdout, stderr } = startProcess();
    const ctx = commandContext(process);
    ctx.print(`${ctx.paint('bad', hostile)}\tx\ny`);
    assert.equal(stdout(), '\u001b[31ma\\u001b[2J\\u001b]0;title\\u0007\\u009b2J\\u000db\u001b[0m\tx\ny\n');
    ctx.hint(hostile);
    assert.ok(!/[^\P{Cc}\n]/u.test(stderr()));
    ctx.redraw(hostile);
    const drawn = stdout();
    assert.ok(drawn.startsWith(clearTerminal));
    assert.ok(!/[^\P{Cc}\n]/u.test(drawn.slice(clearTerminal.length)));
  });

  test('JSON means the same after it', () => {
    const { process, stdout } = startProcess();
    const document = { text: `${hostile}\u0085` };
    commandContext(process).print(JSON.stringify(document));
    assert.deepEqual(JSON.parse(stdout()), document);
  });

  for (const [what, error] of [
    ['a refusal of the hub', new StatusError('Forbidden', hostile)],
    ['a command', new CommandError(`${hostile}\nselvedge: all is well`, hostile)],
    ['a fault', new Error(hostile, { cause: new Error(hostile) })],
  ] as const) {
    test(`errors do not steer it either: ${what}`, () => {
      for (const isJson of [true, false]) {
        const { process, stderr } = startProcess();
        reportError(error, process, isJson);
        const text = stderr();
        assert.ok(!/[^\P{Cc}\n\t]/u.test(text), JSON.stringify(text));
        assert.equal(text.split('\n').filter((line) => line.startsWith('selvedge: ')).length, isJson ? 0 : 1);
        const debugged = startProcess({ SELVEDGE_DEBUG: '1' });
        reportError(error, debugged.process, isJson);
        assert.ok(!/[^\P{Cc}\n\t]/u.test(debugged.stderr()));
      }
    });
  }
});
