/**
 * `npm run bench -- NAME [--json]`: measures one thing and holds it against its marks (docs/reference/performance.md).
 * Exit code 1 when a mark is missed. With --json stdout is one JSON array of figures and nothing else.
 */
import { parseArgs } from 'node:util';
import { prepareMachine } from '../tools/setup/prepare-machine.ts';
import { useRepositoryTools } from '../tools/testing/run-step.ts';
import type { Figure } from './figure.ts';
import { benchMainJob } from './main-job.ts';

const benches: Readonly<Record<string, (tell: (line: string) => void) => Promise<Figure[]>>> = {
  'main-job': benchMainJob,
};

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: { json: { type: 'boolean', default: false } },
});
const [name = ''] = positionals;
const bench = benches[name];
if (bench === undefined || positionals.length !== 1) {
  console.error(`usage: npm run bench -- ${Object.keys(benches).join('|')} [--json]`);
  process.exitCode = 2;
} else {
  process.exitCode = await main(bench);
}

async function main(run: (tell: (line: string) => void) => Promise<Figure[]>): Promise<number> {
  useRepositoryTools(process.env);
  const problems = await prepareMachine('quickstart', (line) => console.error(line));
  if (problems.length > 0) {
    for (const problem of problems) console.error(problem);
    return 1;
  }
  const figures = await run((line) => console.error(line));
  if (values.json) console.log(JSON.stringify(figures, undefined, 2));
  else for (const line of figures.map(render)) console.log(line);
  return figures.every(({ met }) => met) ? 0 : 1;
}

function render({ name: what, value, unit, mark, met }: Figure): string {
  return `${met ? 'met   ' : 'MISSED'}  ${what.padEnd(48)} ${`${value} ${unit}`.padStart(12)}   mark ${mark} ${unit}`;
}
