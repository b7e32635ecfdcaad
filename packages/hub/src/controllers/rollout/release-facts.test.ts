import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { Release, ReleaseStatus, Rollout, RolloutPhase } from '@selvedge/api';
import { findApprovedRelease, releaseFacts } from './release-facts.ts';

const digest = `sha256:${'0'.repeat(64)}`;
const release = (name: string, status?: ReleaseStatus): Release => ({
  apiVersion: 'selvedge.dev/v1alpha1',
  kind: 'Release',
  metadata: { name, namespace: 'shop' },
  spec: { application: 'till', digest, sizeBytes: 2 },
  ...(status ? { status } : {}),
});
const rollout = (number: number, of: string, phase: RolloutPhase): Rollout => ({
  apiVersion: 'selvedge.dev/v1alpha1',
  kind: 'Rollout',
  metadata: { name: `till-${number}`, namespace: 'shop' },
  spec: { application: 'till', release: of, digest, strategy: {} },
  status: { phase },
});
const time = '2026-01-01T00:00:00.000Z';
const approved: ReleaseStatus = { approvedTime: time };
const condemned: ReleaseStatus = {
  condemned: { time, rollout: 'till-2', reason: 'BudgetExceeded', message: '1 site failed' },
};

describe('a release', () => {
  test('is as new as the newest rollout that brought it', () => {
    const history = [
      rollout(3, 'a', 'Progressing'),
      rollout(2, 'b', 'Reverted'),
      rollout(1, 'a', 'Completed'),
    ];
    assert.equal(releaseFacts(release('a', approved), history).number, 3);
    assert.equal(releaseFacts(release('c'), history).number, 0);
    const bad = releaseFacts(release('b', condemned), history);
    assert.deepEqual([bad.isCondemned, bad.condemnedBy, bad.isApproved], [true, 'till-2', false]);
  });

  test('was condemned by that very rollout, not by one of its name that was made later', () => {
    const by = (rolloutUid: string) =>
      release('b', {
        condemned: { time, rollout: 'till-2', rolloutUid, reason: 'BudgetExceeded', message: '' },
      });
    const made = rollout(2, 'b', 'Progressing');
    const history = [{ ...made, metadata: { ...made.metadata, uid: 'now' } }];
    const ofFormer = releaseFacts(by('before'), history);
    assert.deepEqual([ofFormer.isCondemned, ofFormer.condemnedBy], [true, undefined]);
    assert.equal(releaseFacts(by('now'), history).condemnedBy, 'till-2');
  });

  test('of a hub that kept no verdicts yet is approved by its history', () => {
    const history = [rollout(2, 'b', 'Progressing'), rollout(1, 'a', 'Completed')];
    assert.equal(releaseFacts(release('a'), history).isApproved, true);
    assert.equal(releaseFacts(release('b'), history).isApproved, false);
    // One that was condemned, and lifted, has to pass again, whatever happened long ago.
    const lifted = release('a', { lifted: { time, by: 'kim' } });
    assert.equal(releaseFacts(lifted, history).isApproved, false);
  });
});

describe('the approved release', () => {
  const all = [release('a', approved), release('b', approved), release('c')];

  test('is the newest that passed; the one under way does not count until it has', () => {
    const before = [rollout(2, 'b', 'Completed'), rollout(1, 'a', 'Completed')];
    assert.equal(findApprovedRelease(all, before), 'b');
    assert.equal(findApprovedRelease(all, [rollout(3, 'c', 'Progressing'), ...before]), 'b');
    // Going back to an older content: until that has passed anew, who comes gets what passed last.
    assert.equal(findApprovedRelease(all, [rollout(3, 'a', 'Progressing'), ...before]), 'b');
    assert.equal(findApprovedRelease(all, [rollout(3, 'a', 'Completed'), ...before]), 'a');
  });

  test('is none that is condemned', () => {
    const history = [rollout(2, 'b', 'Reverted'), rollout(1, 'a', 'Completed')];
    assert.equal(findApprovedRelease([release('a', approved), release('b', condemned)], history), 'a');
    assert.equal(findApprovedRelease([release('b', condemned)], history), undefined);
  });
});
