import { readFile } from 'node:fs/promises';

/** Resident set of a process, as ps shows it, in MiB. */
export async function residentMebibytes(pid: number | undefined): Promise<number> {
  if (pid === undefined) throw new Error('a program that was to be measured has ended');
  const status = await readFile(`/proc/${pid}/status`, 'utf8');
  return Number(/^VmRSS:\s+(\d+) kB$/m.exec(status)?.[1]) / 1024;
}
