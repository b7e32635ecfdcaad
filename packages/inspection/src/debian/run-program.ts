import { execFile } from 'node:child_process';
import { promisify } from 'node:util';

const run = promisify(execFile);

/** Output of a program that must succeed; an Error that holds what it said otherwise. */
export async function runProgram(
  command: readonly [string, ...string[]],
  options: {
    readonly cwd?: string;
    readonly signal?: AbortSignal;
    /** Default UTF-8; `latin1` keeps bytes as they are. */
    readonly encoding?: 'utf8' | 'latin1';
  },
): Promise<string> {
  const [program, ...args] = command;
  try {
    const { stdout } = await run(program, args, {
      ...options,
      encoding: options.encoding ?? 'utf8',
      maxBuffer: 64 * 1024 * 1024,
    });
    return stdout;
  } catch (error) {
    options.signal?.throwIfAborted();
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') {
      throw new Error(`${program} is not installed; the systems of machines are built on Debian or Ubuntu`, {
        cause: error,
      });
    }
    const said = error instanceof Error && 'stderr' in error ? String(error.stderr).trim() : String(error);
    throw new Error(`${program} ${args.slice(0, 3).join(' ')}: ${said.slice(-1000)}`, { cause: error });
  }
}
