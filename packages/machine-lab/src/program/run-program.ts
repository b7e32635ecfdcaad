import { execFile } from 'node:child_process';

const systemFolders = ['/usr/local/sbin', '/usr/sbin', '/sbin'];

/** Runs a program to its end and returns what it printed; throws with its words when it fails. `path`: PATH of the caller. */
export function runProgram([program = '', ...args]: readonly string[], path: string): Promise<string> {
  return new Promise((resolve, reject) => {
    const env = { PATH: withSystemFolders(path), LC_ALL: 'C' };
    execFile(program, args, { env, timeout: 60_000, killSignal: 'SIGKILL' }, (error, stdout, stderr) => {
      if (error === null) resolve(stdout);
      else
        reject(
          new Error(`${[program, ...args].join(' ')}: ${stderr.trim() || error.message}`, { cause: error }),
        );
    });
  });
}

/** Programs of the system are not on everybody's PATH. */
export function withSystemFolders(path: string): string {
  return [path, ...systemFolders].join(':');
}
