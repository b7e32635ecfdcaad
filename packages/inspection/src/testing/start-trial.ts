import type { TestContext } from 'node:test';
import { TestRack } from './test-rack.ts';
import { TrialBox, type TrialDisk } from './trial-box.ts';

/** A rack, and a box with these disks that talks to it. Both end with the test. */
export async function startTrial(
  t: TestContext,
  disks: readonly TrialDisk[] = [],
): Promise<{ rack: TestRack; box: TrialBox }> {
  const rack = await TestRack.start();
  const box = new TrialBox();
  t.after(async () => {
    await box.close();
    await rack.close();
  });
  for (const disk of disks) box.addDisk(disk);
  box.boot(rack);
  return { rack, box };
}
