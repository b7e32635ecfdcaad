/**
 * `npm run quickstart`: the main job on this machine: a hub, a cloud site and two shops, one application in real
 * containers.
 *
 *   npm run quickstart [-- --data DIR]      until Ctrl-C
 *   npm run quickstart -- --check           without a person: proves each step, last line is JSON
 *   npm run quickstart -- cut|join SITE     cuts or joins the link of a site of the quickstart that runs
 */
import { resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { prepareMachine } from '../tools/setup/prepare-machine.ts';
import { useRepositoryTools } from '../tools/testing/run-step.ts';
import { runCheck } from './check.ts';
import { setLinkSwitch } from './link-switches.ts';
import { defaultDataDir, stayUp } from './stay-up.ts';

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: { check: { type: 'boolean', default: false }, data: { type: 'string' } },
});
const dataDir = resolve(values.data ?? defaultDataDir);
const [verb, site, ...rest] = positionals;

if (verb === undefined) {
  process.exitCode = await start();
} else if ((verb === 'cut' || verb === 'join') && site !== undefined && rest.length === 0) {
  process.exitCode = await switchLink(site, verb === 'cut');
} else {
  console.error('usage: npm run quickstart -- [--data DIR] [--check | cut SITE | join SITE]');
  process.exitCode = 2;
}

async function start(): Promise<number> {
  useRepositoryTools(process.env);
  const interrupted = new AbortController();
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const)
    process.on(signal, () => interrupted.abort());
  const problems = await prepareMachine('quickstart');
  if (problems.length > 0) {
    console.error('The quickstart cannot run here yet:');
    for (const problem of problems) console.error(`  - ${problem}`);
    return 1;
  }
  return values.check
    ? await runCheck(dataDir, interrupted.signal)
    : await stayUp(dataDir, interrupted.signal);
}

async function switchLink(name: string, isCut: boolean): Promise<number> {
  try {
    await setLinkSwitch(dataDir, name, isCut);
    console.log(`${name} is ${isCut ? 'being cut off' : 'being joined'}`);
    return 0;
  } catch (error) {
    console.error(error instanceof Error ? error.message : String(error));
    return 1;
  }
}
