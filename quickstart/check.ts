import { randomBytes } from 'node:crypto';
import { join } from 'node:path';
import { bringUp } from './bring-up.ts';
import { checkSteps } from './check-steps.ts';
import { Lab } from './lab/lab.ts';
import type { MainJob } from './lab/main-job.ts';
import { mainJobSites } from './lab/main-job.ts';
import { Narrator } from './narrator.ts';

interface StepResult {
  name: string;
  ok: boolean;
  seconds: number;
  error?: string;
  [measured: string]: unknown;
}

/**
 * `npm run quickstart -- --check`: the main job in a folder of its own, every step proved, everything removed again.
 * The last line is JSON. After a failure the folder stays, for its logs. Returns the exit code.
 */
export async function runCheck(dataDir: string, signal: AbortSignal): Promise<number> {
  const narrator = new Narrator();
  const folder = join(dataDir, `check-${randomBytes(3).toString('hex')}`);
  const results: StepResult[] = [];
  const attempt = async (name: string, action: () => Promise<Record<string, unknown>>): Promise<void> => {
    const started = performance.now();
    const seconds = () => Math.round((performance.now() - started) / 10) / 100;
    try {
      signal.throwIfAborted();
      const measured = await Promise.race([action(), rejectWhenAborted(signal)]);
      results.push({ name, ok: true, seconds: seconds(), ...measured });
    } catch (error) {
      const text = error instanceof Error ? error.message : String(error);
      narrator.problem(error instanceof Error ? (error.stack ?? text) : text);
      results.push({ name, ok: false, seconds: seconds(), error: text.split('\n')[0] ?? '' });
    }
  };

  let lab: Lab | undefined;
  let job: MainJob | undefined;
  await attempt('bring-up', async () => {
    lab = await Lab.open({ folder, siteNames: mainJobSites, proxied: ['shop-2'], syncWait: '5s' });
    job = await bringUp(lab, narrator);
    return {};
  });
  for (const step of checkSteps) {
    if (results.some(({ ok }) => !ok)) break;
    await attempt(step.name, () =>
      narrator.step(step.title, async (say) => {
        if (lab === undefined || job === undefined) throw new Error('the main job is not up');
        const measured = await step.prove(lab, job, say);
        say(JSON.stringify(measured));
        return measured;
      }),
    );
  }
  const ok = results.every((result) => result.ok);
  await attempt('clean-up', async () => {
    await lab?.close({ keepData: !ok });
    return {};
  });

  narrator.heading('Summary');
  for (const result of results) {
    narrator.note(
      `${result.ok ? 'ok    ' : 'FAILED'} ${result.name} (${result.seconds} s) ${result.error ?? ''}`,
    );
  }
  const done = results.every((result) => result.ok) && results.length === checkSteps.length + 2;
  if (!done) narrator.note(`logs: ${folder}`);
  console.log(JSON.stringify({ ok: done, steps: results }));
  return done ? 0 : 1;
}

function rejectWhenAborted(signal: AbortSignal): Promise<never> {
  return new Promise((_, reject) => {
    signal.addEventListener('abort', () => reject(new Error('interrupted')), { once: true });
  });
}
