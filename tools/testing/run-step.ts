import { spawn } from 'node:child_process';
import { delimiter, join } from 'node:path';
import { emptyResults, type Results } from './results.ts';
import { repositoryRoot } from './test-files.ts';

/** The pinned Node and the tools from npm come first, whatever started us. */
export function useRepositoryTools(env: NodeJS.ProcessEnv): void {
  const folders = [
    join(repositoryRoot, 'node_modules/.bin'),
    env['PATH'],
    join(repositoryRoot, '.selvedge/tools/usr/bin'),
  ];
  env['PATH'] = folders.filter((folder) => folder !== undefined).join(delimiter);
}

/** A thousand processes of tests load the same modules: what Node compiled of them is kept. Not for bench, whose starts are to be those of a user. */
export function keepWhatIsCompiled(env: NodeJS.ProcessEnv): void {
  env['NODE_COMPILE_CACHE'] ??= join(repositoryRoot, 'node_modules/.cache/selvedge/compiled');
}

/** One program of `npm run check`; counts as one test. Its output goes where ours goes. */
export async function runStep(name: string, command: readonly string[]): Promise<Results> {
  const started = performance.now();
  const [program = '', ...args] = command;
  console.log(`\n== ${name}: ${command.join(' ')}`);
  const child = spawn(program, args, { cwd: repositoryRoot, stdio: ['ignore', 'inherit', 'inherit'] });
  const problem = await new Promise<string | undefined>((resolve) => {
    child.on('error', (error) => resolve(error.message));
    child.on('exit', (code, signal) => resolve(code === 0 ? undefined : `ended with ${code ?? signal}`));
  });
  const results = emptyResults();
  if (problem === undefined) {
    results.passed = 1;
  } else {
    results.failed = 1;
    results.failures.push(`${name}: ${problem}`);
  }
  const seconds = (performance.now() - started) / 1000;
  results.times.push({ name, seconds });
  console.log(`   ${name}: ${problem ?? 'ok'} in ${seconds.toFixed(1)} s`);
  return results;
}
