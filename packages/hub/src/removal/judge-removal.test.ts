import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import * as fc from 'fast-check';
import { defaultRemovalLimits, judgeRemoval, type RemovalCase, removalAllowance } from './judge-removal.ts';

const digest = `sha256:${'a'.repeat(64)}`;
const other = `sha256:${'b'.repeat(64)}`;

function caseOf(over: Partial<RemovalCase>): RemovalCase {
  return {
    what: 'till is to leave sites',
    targets: 1,
    population: 20,
    recent: 0,
    limits: defaultRemovalLimits,
    digest,
    ...over,
  };
}

describe('the removal guard', () => {
  it('lets go as many as the larger of the number and the part of all', () => {
    assert.equal(removalAllowance(defaultRemovalLimits, 20), 3);
    assert.equal(removalAllowance(defaultRemovalLimits, 59), 5);
    assert.equal(removalAllowance({ sites: 0, percent: 0 }, 1000), 0);
    assert.equal(judgeRemoval(caseOf({ targets: 3 })).kind, 'Go');
    assert.equal(judgeRemoval(caseOf({ targets: 4 })).kind, 'Held');
    assert.equal(judgeRemoval(caseOf({ targets: 100, population: 1000 })).kind, 'Go');
    assert.equal(judgeRemoval(caseOf({ targets: 101, population: 1000 })).kind, 'Held');
  });

  it('counts what went within the last hour, and reckons with all that there were before it', () => {
    assert.equal(judgeRemoval(caseOf({ targets: 1, recent: 2 })).kind, 'Go');
    const verdict = judgeRemoval(caseOf({ targets: 2, recent: 2 }));
    assert.ok(verdict.kind === 'Held' && verdict.reason === 'TooMany');
    assert.match(verdict.message, /lets 3 sites go within an hour, and 2 went already/);
    assert.equal(judgeRemoval(caseOf({ targets: 5, population: 95, recent: 5 })).kind, 'Go');
  });

  it('holds what follows from a selector that selects nothing, however little it is', () => {
    const verdict = judgeRemoval(caseOf({ doubt: 'SelectorEmpty' }));
    assert.ok(verdict.kind === 'Held' && verdict.reason === 'SelectorEmpty');
    const approved = caseOf({ doubt: 'SelectorEmpty', approvedDigest: digest });
    assert.deepEqual(judgeRemoval(approved), { kind: 'Go', isApproved: true });
  });

  it('lets nobody approve what could not be read', () => {
    const verdict = judgeRemoval(caseOf({ doubt: 'SourceFailed', approvedDigest: digest }));
    assert.ok(verdict.kind === 'Held' && verdict.reason === 'SourceFailed');
  });

  it('takes consent to another set for none, and says so', () => {
    const verdict = judgeRemoval(caseOf({ targets: 20, approvedDigest: other }));
    assert.ok(verdict.kind === 'Held');
    assert.match(verdict.message, /approval that is there is for another set/);
  });

  const anyCase = fc.record({
    what: fc.constant('till is to leave sites'),
    targets: fc.integer({ min: 1, max: 500 }),
    population: fc.integer({ min: 1, max: 500 }),
    recent: fc.integer({ min: 0, max: 500 }),
    limits: fc.record({ sites: fc.integer({ min: 0, max: 50 }), percent: fc.integer({ min: 0, max: 100 }) }),
    digest: fc.constant(digest),
  });

  it('never lets more go within an hour than the limits say, unless somebody approved exactly that', () => {
    fc.assert(
      fc.property(anyCase, fc.option(fc.constantFrom(digest, other)), (removal, approvedDigest) => {
        const population = Math.max(removal.population, removal.targets);
        const verdict = judgeRemoval({
          ...removal,
          population,
          ...(approvedDigest === null ? {} : { approvedDigest }),
        });
        const all = population + removal.recent;
        const isWithin =
          removal.targets + removal.recent <= removal.limits.sites ||
          (removal.targets + removal.recent) * 100 <= all * removal.limits.percent;
        assert.equal(verdict.kind === 'Go', isWithin || approvedDigest === digest);
        if (verdict.kind === 'Go') assert.equal(verdict.isApproved, approvedDigest === digest);
      }),
    );
  });
});
