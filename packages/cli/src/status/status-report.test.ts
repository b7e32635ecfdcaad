import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { plainPaint } from '../program/terminal.ts';
import { ago, now, sampleApplication, sampleRollout, sampleSite } from '../testing/sample-fleet.ts';
import { renderStatus } from './render-status.ts';
import { buildStatusReport, isInTrouble } from './status-report.ts';

describe('status', () => {
  test('an empty fleet says how to begin', () => {
    const report = buildStatusReport({ now, sites: [], applications: [], rollouts: [] });
    assert.equal(isInTrouble(report), false);
    assert.match(renderStatus(report, plainPaint), /kubectl apply[^]*selvedge site token NAME/);
  });

  test('a fleet on its way is no trouble, with an away site too', () => {
    const away = sampleSite('shop-2', { status: { connectivity: 'Away', lastSeenTime: ago(90_000) } });
    const report = buildStatusReport({
      now,
      sites: [away, sampleSite('cloud')],
      applications: [sampleApplication()],
      rollouts: [sampleRollout()],
    });
    assert.equal(isInTrouble(report), false);
    assert.equal(
      renderStatus(report, plainPaint),
      `APPLICATION   RELEASE           WANTED   RUNNING   PROGRESSING   FAILED   AWAY   WAITING   ROLLOUT       MESSAGE
shop/till     till-aaaaaaaaaa        3         1             1        0   1            0   Progressing   wave rest waits for shop-1

SITE     CONNECTIVITY   LAST SEEN   WANTED   RUNNING   FAILED   AGENT
cloud    Connected      3s               1         1        0   0.1.0
shop-2   Away           25h              1         1        0   0.1.0`,
    );
  });

  test('machines are counted by phase; one in error is a problem with the command that tells more', () => {
    const row = (name: string, phase: string, status = 'OK') => ({ name, site: 'cloud', phase, status });
    const rows = [row('a', 'Provisioned'), row('b', 'Provisioned'), row('c', 'Discovered')];
    const well = buildStatusReport({ now, sites: [], applications: [], rollouts: [], machines: rows });
    assert.equal(isInTrouble(well), false);
    assert.match(
      renderStatus(well, plainPaint),
      /3 machines: 2 Provisioned, 1 Discovered\n! 1 found and not accepted: selvedge machine accept NAME$/,
    );
    const machines = [...rows, row('d', 'Provisioning', 'ConsentMissing')];
    const report = buildStatusReport({ now, sites: [], applications: [], rollouts: [], machines });
    assert.equal(isInTrouble(report), true);
    assert.match(
      renderStatus(report, plainPaint),
      /^✗ machine d: ConsentMissing, in phase Provisioning, at site cloud\n {4}selvedge machine show d\n/,
    );
  });

  test('problems come first, errors before warnings, each with the command to type', () => {
    const failures = [{ site: 'shop-1', reason: 'CrashLoop', message: 'container web exited with 1' }];
    const overdue = sampleSite('shop-3', {
      spec: { connectivity: { expected: '2h' } },
      status: { connectivity: 'Overdue', lastSeenTime: ago(86_400) },
    });
    const report = buildStatusReport({
      now,
      sites: [overdue],
      applications: [sampleApplication()],
      rollouts: [sampleRollout({ phase: 'Paused', message: '1 site failed, the budget allows 0', failures })],
    });
    assert.equal(isInTrouble(report), true);
    assert.deepEqual(
      report.problems.map((p) => [p.severity, p.command]),
      [
        ['error', 'selvedge why shop-1 till -n shop'],
        ['error', 'selvedge site show shop-3'],
        ['warning', 'selvedge rollout status till-3 -n shop'],
      ],
    );
    assert.match(
      renderStatus(report, plainPaint),
      /^✗ application shop\/till at shop-1: CrashLoop: container web exited with 1\n {4}selvedge why/,
    );
  });

  test('what others changed at a site is a warning, and no trouble', () => {
    const applications = { wanted: 2, running: 2, progressing: 0, failed: 0, drifted: 1 };
    const report = buildStatusReport({
      now,
      sites: [sampleSite('shop-1', { status: { connectivity: 'Connected', applications } })],
      applications: [],
      rollouts: [],
    });
    assert.equal(isInTrouble(report), false);
    assert.match(report.problems[0]?.message ?? '', /^1 application is not as the release says/);
  });

  test('a source that gives nothing is a warning: the sites have what went out last', () => {
    const condition = {
      type: 'SourceReady',
      status: 'False',
      reason: 'RenderFailed',
      message: 'no such file',
    } as const;
    const conditions = [{ ...condition, lastTransitionTime: ago(60) }];
    const application = sampleApplication({ status: { conditions } });
    const report = buildStatusReport({ now, sites: [], applications: [application], rollouts: [] });
    assert.equal(isInTrouble(report), false);
    assert.match(report.problems[0]?.message ?? '', /^nothing new comes .*: RenderFailed: no such file$/);
    assert.equal(report.problems[0]?.command, 'selvedge app show till -n shop');
  });

  test('many problems are counted, not all shown', () => {
    const failures = Array.from({ length: 20 }, (_, i) => ({ site: `s${i}`, reason: 'X', message: 'y' }));
    const report = buildStatusReport({
      now,
      sites: [],
      applications: [sampleApplication()],
      rollouts: [sampleRollout({ failures })],
    });
    assert.equal(report.problems.length + report.moreProblems, 20);
    assert.match(renderStatus(report, plainPaint), /and 8 more/);
  });

  test('what is not known is shown as not known', () => {
    const { status: _, ...bare } = sampleApplication();
    const { status: _status, ...site } = sampleSite('new');
    const report = buildStatusReport({ now, sites: [site], applications: [bare], rollouts: [] });
    assert.deepEqual(report.sites, [{ name: 'new', connectivity: 'Unknown' }]);
    assert.match(
      renderStatus(report, plainPaint),
      /shop\/till +- +\? .*the hub has made no release of it yet/,
    );
  });

  test('of several rollouts the one that the application names counts', () => {
    const older = {
      ...sampleRollout({ phase: 'Superseded' }),
      metadata: { name: 'till-2', namespace: 'shop' },
    };
    const foreign = {
      ...sampleRollout({ phase: 'Paused' }),
      metadata: { name: 'till-3', namespace: 'other' },
    };
    const report = buildStatusReport({
      now,
      sites: [],
      applications: [sampleApplication()],
      rollouts: [older, foreign, sampleRollout()],
    });
    assert.deepEqual(report.applications[0]?.rollout, { name: 'till-3', phase: 'Progressing' });
  });
});
