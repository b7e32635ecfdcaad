import assert from 'node:assert/strict';
import { mkdtemp } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { Writable } from 'node:stream';
import { requireTool } from '@selvedge/testkit';
import { bringUp } from '../../quickstart/bring-up.ts';
import { checkSteps } from '../../quickstart/check-steps.ts';
import { Lab } from '../../quickstart/lab/lab.ts';
import { type MainJob, mainJobSites } from '../../quickstart/lab/main-job.ts';
import { Narrator } from '../../quickstart/narrator.ts';
import { labTools } from './test-lab.ts';

describe('the main job, from kubectl to containers at three sites', requireTool(...labTools), () => {
  let lab: Lab;
  let job: MainJob;

  before(async () => {
    const folder = await mkdtemp(join(tmpdir(), 'svg-e2e-'));
    lab = await Lab.open({ folder, siteNames: mainJobSites, proxied: ['shop-2'], syncWait: '5s' });
    const silence = new Writable({ write: (_chunk, _encoding, done) => done() });
    job = await bringUp(lab, new Narrator(silence));
  });

  after(async () => {
    await lab?.close({ keepData: false });
  });

  for (const step of checkSteps) {
    test(step.title, async (t) => {
      t.diagnostic(JSON.stringify(await step.prove(lab, job, (line) => t.diagnostic(line))));
    });
  }

  test('the proxied shop has gone through its proxy', () => {
    assert.ok((lab.site('shop-2').proxy?.tunnels ?? 0) > 0);
    assert.equal(lab.site('shop-1').proxy, undefined);
  });
});
