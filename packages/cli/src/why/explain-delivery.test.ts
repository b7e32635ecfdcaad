import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { Delivery, Site } from '@selvedge/api';
import { plainPaint } from '../program/terminal.ts';
import {
  ago,
  canarySoaking,
  now,
  restWaiting,
  sampleApplication,
  sampleDelivery,
  sampleRelease,
  sampleRollout,
  sampleSite,
} from '../testing/sample-fleet.ts';
import { explainDelivery, type WhyInput, type WhyReport } from './explain-delivery.ts';
import { renderWhy } from './render-why.ts';

const known: WhyInput = {
  now,
  siteName: 'shop-1',
  namespace: 'shop',
  applicationName: 'till',
  site: sampleSite('shop-1'),
  application: sampleApplication(),
  release: sampleRelease(),
  rollout: sampleRollout(),
  delivery: sampleDelivery(),
  knownSites: [],
  knownApplications: [],
};
const explain = (changes: Partial<WhyInput> = {}) => explainDelivery({ ...known, ...changes });
const step = (report: WhyReport, topic: string) =>
  report.chain
    .filter((s) => s.topic === topic)
    .map((s) => s.text)
    .join(' | ');
const without = <K extends keyof WhyInput>(field: K): Omit<WhyInput, K> => {
  const { [field]: _, ...rest } = known;
  return rest;
};
const silentSite = (connectivity: NonNullable<Site['status']>['connectivity'] & string, seconds: number) =>
  sampleSite('shop-1', { status: { connectivity, lastSeenTime: ago(seconds) } });
const silent: Partial<Delivery['status']> = { connectivity: 'Away', lastSeenTime: ago(7200) };
/** Of an assignment that the agent has not answered. */
const unanswered: Delivery['status'] = { state: 'Pending', connectivity: 'Connected' };

describe('explain delivery', () => {
  test('a site that runs what is wanted: the whole chain, and nothing to do', () => {
    const report = explain();
    assert.equal(report.verdict, 'Running');
    assert.equal(report.isTrouble, false);
    assert.deepEqual(
      report.chain.map((s) => s.topic),
      ['Placement', 'Release', 'Rollout', 'Wave', 'Gate', 'Assignment', 'Site', 'Report'],
    );
    assert.match(step(report, 'Release'), /^till-aaaaaaaaaa \(sha256:aaaaaaaaaaaa…\), made 5m20s ago$/);
    assert.match(
      step(report, 'Rollout'),
      /^till-3 is Progressing, begun 5m ago: wave rest waits for shop-1$/,
    );
    assert.match(step(report, 'Wave'), /^rest \(Progressing\) of 2 sites: 2 pending$/);
    assert.match(step(report, 'Assignment'), /^given to the site 100s ago by till-3, wave rest, as epoch 7/);
    assert.match(step(report, 'Report'), /^Running for 60s, 2 of 2 pods ready, as the agent saw it 5s ago$/);
    assert.match(report.next, /^Nothing/);
  });

  test('a source that fails is named, with what was read before', () => {
    const source = {
      kind: 'git',
      revision: 'main@sha1:1234',
      digest: '',
      specDigest: '',
      manifests: 2,
      readTime: ago(3600),
    };
    const fault = {
      type: 'SourceReady',
      status: 'False',
      reason: 'RenderFailed',
      message: 'no such file',
    } as const;
    const conditions = [{ ...fault, lastTransitionTime: ago(60) }];
    const report = explain({ application: sampleApplication({ status: { source, conditions } }) });
    assert.match(
      step(report, 'Source'),
      /^git main@sha1:1234, read 60m ago \| nothing new .* for 60s: RenderFailed: no such file$/,
    );
    assert.equal(report.verdict, 'Running');
  });

  test('what others changed at a site is named, and that it is left so', () => {
    const report = explain({ delivery: sampleDelivery({ drift: ['Deployment/till: spec.replicas'] }) });
    assert.equal(report.verdict, 'Running');
    assert.equal(report.isTrouble, false);
    assert.match(step(report, 'Drift'), /by others: Deployment\/till: spec\.replicas/);
    assert.match(report.next, /spec\.apply\.drift: Correct puts it back/);
  });

  test('a site without the node groups of a release is blocked, with how to mend it', () => {
    const release = sampleRelease();
    const inGroups = { ...release, spec: { ...release.spec, nodeGroups: ['cloud', 'edge'] } };
    const { delivery: _, ...undelivered } = known;
    const report = explainDelivery({ ...undelivered, release: inGroups });
    assert.equal(report.verdict, 'Blocked');
    assert.match(report.summary, /shop-1 has none of the node groups that till runs in: cloud, edge/);
    assert.match(report.next, /spec\.nodeGroups/);
    assert.deepEqual(report.commands, ['kubectl edit site shop-1']);
    const site = sampleSite('shop-1', { spec: { nodeGroups: [{ name: 'edge' }] } });
    assert.notEqual(explainDelivery({ ...undelivered, site, release: inGroups }).verdict, 'Blocked');
  });

  test('a silent site that ran it is Running as of its last word, and no trouble', () => {
    const report = explain({ site: silentSite('Away', 7200), delivery: sampleDelivery(silent) });
    assert.equal(report.verdict, 'Running');
    assert.equal(report.isTrouble, false);
    assert.match(report.summary, /when it was last heard of/);
    assert.match(
      step(report, 'Site'),
      /away, last heard of 120m ago, agent 0.1.0; that is a state, not a fault/,
    );
  });

  test('a silent site that has not answered is Away: it catches up by itself, and that is no trouble', () => {
    const report = explain({
      site: silentSite('Away', 7200),
      delivery: { ...sampleDelivery(), status: { ...unanswered, ...silent } as Delivery['status'] },
    });
    assert.equal(report.verdict, 'Away');
    assert.equal(report.isTrouble, false);
    assert.match(step(report, 'Report'), /has not said anything of this release yet/);
    assert.match(report.next, /When the site is back/);
  });

  test('an overdue site is trouble', () => {
    const report = explain({ site: silentSite('Overdue', 7 * 86_400) });
    assert.equal(report.isTrouble, true);
    assert.match(step(report, 'Site'), /silent for longer than the 24h that it may be, last heard of 7d ago/);
    assert.deepEqual(report.commands, ['selvedge site show shop-1']);
  });

  test('a site at work is told how long it still has', () => {
    const delivery = sampleDelivery({ state: 'Activating', runningRelease: 'till-bbbbbbbbbb' });
    const report = explain({ delivery });
    assert.equal(report.verdict, 'Progressing');
    assert.match(report.next, /another 9m to be healthy, then it counts as failed, and goes back by itself/);
    assert.equal(step(report, 'Running'), 'till-bbbbbbbbbb runs at the site');
  });

  test('a site that failed: reason, message, logs, what runs on, what to do', () => {
    const delivery = sampleDelivery({
      state: 'Failed',
      reason: 'CrashLoop',
      message: 'container web exited with 1',
      logs: ['cannot open /data', 'bye'],
      runningRelease: 'till-bbbbbbbbbb',
    });
    const report = explain({ delivery });
    assert.equal(report.verdict, 'Failed');
    assert.equal(report.isTrouble, true);
    assert.match(report.summary, /failed at shop-1: CrashLoop$/);
    assert.match(step(report, 'Report'), /CrashLoop: container web exited with 1/);
    assert.deepEqual(report.logs, ['cannot open /data', 'bye']);
    assert.match(report.next, /^till-bbbbbbbbbb, which ran before, runs on\. Apply a release that works/);
    assert.ok(report.commands.includes('kubectl get delivery till.shop-1 -n shop -o yaml'));
  });

  test('a site that the hub counts as failed because it missed its deadline', () => {
    const failure = { site: 'shop-1', reason: 'DeadlineExceeded', message: 'not healthy after 600s' };
    const report = explain({
      delivery: { ...sampleDelivery(), status: unanswered },
      rollout: sampleRollout({ failures: [failure] }),
    });
    assert.equal(report.verdict, 'Failed');
    assert.match(step(report, 'Report'), /the hub counts the site as failed: DeadlineExceeded: not healthy/);
  });

  test('a site that refused', () => {
    const delivery = sampleDelivery({ state: 'Refused', reason: 'Unsupported', message: 'spec.hostNetwork' });
    const report = explain({ delivery });
    assert.equal(report.verdict, 'Refused');
    assert.match(report.next, /Change what the reason names/);
  });

  test('a site whose wave has not come: what it waits for, how long that soaks, what runs meanwhile', () => {
    const report = explain({
      rollout: sampleRollout({ waves: [canarySoaking, restWaiting], message: 'wave canary soaks' }),
      delivery: sampleDelivery(
        { runningRelease: 'till-bbbbbbbbbb' },
        { release: 'till-bbbbbbbbbb', rollout: 'till-2', wave: 'canary', assignedTime: ago(86_400 * 3) },
      ),
    });
    assert.equal(report.verdict, 'Waiting');
    assert.equal(report.isTrouble, false);
    assert.match(
      step(report, 'Wave'),
      /in none yet: a wave draws its sites when it begins; the next is rest, with 2 sites/,
    );
    assert.match(step(report, 'Wave'), /canary \(Soaking\) of 1 site: 1 succeeded$/);
    assert.equal(step(report, 'Gate'), 'it soaks for another 6m');
    assert.match(
      step(report, 'Assignment'),
      /still to run till-bbbbbbbbbb, given 3d ago by till-2, wave canary/,
    );
  });

  test('a paused application, and a rollout whose budget is spent, say what has to be done', () => {
    const rest = without('delivery');
    const paused = explainDelivery({ ...rest, application: sampleApplication({ spec: { paused: true } }) });
    assert.equal(paused.verdict, 'Waiting');
    assert.match(paused.next, /spec\.paused/);
    assert.match(paused.commands[0] ?? '', /kubectl patch application till -n shop/);
    const spent = explainDelivery({
      ...rest,
      rollout: sampleRollout({ phase: 'Paused', message: '1 site failed' }),
    });
    assert.match(spent.next, /stands still/);
    assert.match(step(spent, 'Rollout'), /Paused.*1 site failed/);
  });

  test('a site that the selector does not match: each label that differs, and how to mend it', () => {
    const site = sampleSite('shop-1', { labels: { tier: 'depot' } });
    const selector = {
      matchLabels: { tier: 'store' },
      matchExpressions: [{ key: 'country', operator: 'In' as const, values: ['de', 'at'] }],
    };
    const application = sampleApplication({ spec: { placement: { siteSelector: selector } } });
    const report = explainDelivery({ ...without('delivery'), site, application });
    assert.equal(report.verdict, 'NotSelected');
    assert.equal(report.isTrouble, false);
    assert.match(
      step(report, 'Placement'),
      /wants tier=store; it has tier=depot; wants country in \(de, at\); it has no label country/,
    );
    assert.deepEqual(report.commands, ['kubectl label site shop-1 tier=store country=de --overwrite']);
  });

  test('a site that no agent ever joined', () => {
    const site: Site = { ...sampleSite('shop-1'), status: { connectivity: 'NeverConnected' } };
    for (const input of [
      { ...known, site, delivery: { ...sampleDelivery(), status: unanswered } },
      { ...without('delivery'), site },
    ]) {
      const report = explainDelivery(input);
      assert.equal(report.verdict, 'NeverConnected');
      assert.deepEqual(report.commands, ['selvedge site token shop-1']);
    }
  });

  test('a missing site variable blocks, and is named', () => {
    const report = explainDelivery({ ...without('delivery'), release: sampleRelease(['color', 'port']) });
    assert.equal(report.verdict, 'Blocked');
    assert.match(report.summary, /lacks a variable that till needs: port$/);
    assert.match(report.commands[0] ?? '', /kubectl patch site shop-1 .*"port":"VALUE"/);
  });

  test('an application without release: not looked at yet, or at fault', () => {
    const fresh = { ...sampleApplication(), status: {} };
    const { release: _release, rollout: _rollout, delivery: _delivery, ...rest } = known;
    const early = explainDelivery({ ...rest, application: fresh });
    assert.equal(early.verdict, 'NotReleased');
    assert.equal(early.isTrouble, false);
    const condition = {
      type: 'Released',
      status: 'False' as const,
      reason: 'Invalid',
      message: 'manifest 2 has no kind',
      lastTransitionTime: ago(5),
    };
    const faulty = explainDelivery({
      ...rest,
      application: { ...fresh, status: { conditions: [condition] } },
    });
    assert.equal(faulty.isTrouble, true);
    assert.match(faulty.summary, /manifest 2 has no kind/);
  });

  test('a removal that is under way, also of an application that is gone', () => {
    const delivery: Delivery = {
      ...sampleDelivery(),
      status: { ...unanswered, state: 'Removing', connectivity: 'Away' },
    };
    const deselected = explain({
      delivery,
      site: sampleSite('shop-1', { labels: {}, status: { connectivity: 'Away' } }),
    });
    assert.equal(deselected.verdict, 'Removing');
    assert.match(deselected.next, /when it is back/);
    const gone = explainDelivery({ ...without('application'), delivery });
    assert.equal(gone.verdict, 'Removing');
    assert.equal(gone.isTrouble, false);
  });

  test('an agent that refuses the desired state shows', () => {
    const condition = {
      type: 'DesiredStateAccepted',
      status: 'False' as const,
      reason: 'OlderEpoch',
      message: 'The agent refused the desired state of epoch 3: older than its own',
      lastTransitionTime: ago(5),
    };
    const report = explain({ site: sampleSite('shop-1', { status: { conditions: [condition] } }) });
    assert.equal(report.isTrouble, true);
    assert.match(step(report, 'Site'), /refused the desired state of epoch 3/);
  });

  test('unknown names suggest near ones', () => {
    const site = explainDelivery({
      ...without('site'),
      siteName: 'shpo-1',
      knownSites: ['shop-1', 'depot', 'shop-2'],
    });
    assert.equal(site.verdict, 'NotFound');
    assert.equal(site.next, 'Did you mean shop-1 or shop-2?');
    assert.equal(site.commands[0], 'selvedge why shop-1 till -n shop');
    const application = explainDelivery({
      ...without('application'),
      applicationName: 'til',
      knownApplications: ['bank/loans', 'other/till', 'shop/till'],
    });
    assert.equal(application.next, 'Did you mean shop/till or other/till?');
    const elsewhere = explainDelivery({
      ...without('application'),
      namespace: 'default',
      knownApplications: ['shop/till', 'shop/tills'],
    });
    assert.deepEqual(elsewhere.commands, ['selvedge why shop-1 till -n shop']);
    const nothing = explainDelivery({ ...without('site'), siteName: 'mars', knownSites: ['shop-1'] });
    assert.match(nothing.commands.join(), /selvedge site token mars/);
  });

  test('rendered for people: verdict, chain, logs without control characters, next', () => {
    const delivery = sampleDelivery({
      state: 'Degraded',
      reason: 'ProbeFailing',
      message: 'HTTP 500',
      logs: ['\u001b[2Joops\tagain'],
    });
    assert.equal(
      renderWhy(explain({ delivery }), plainPaint),
      `Degraded: till was healthy at shop-1 and is not any more: ProbeFailing.

  Placement   the application's siteSelector matches the site
  Release     till-aaaaaaaaaa (sha256:aaaaaaaaaaaa…), made 5m20s ago
  Rollout     till-3 is Progressing, begun 5m ago: wave rest waits for shop-1
  Wave        rest (Progressing) of 2 sites: 2 pending
  Gate        0 of 2 run it, 2 still to answer
  Assignment  given to the site 100s ago by till-3, wave rest, as epoch 7 of its desired state
  Site        in touch, last heard of 3s ago, agent 0.1.0
  Report      Degraded for 60s, 2 of 2 pods ready, as the agent saw it 5s ago; ProbeFailing: HTTP 500

Last lines of the container:
  | [2Joops again

Next: The agent goes on restarting what is unhealthy; a release that works also ends this.
  kubectl get delivery till.shop-1 -n shop -o yaml
  selvedge rollout status till-3 -n shop`,
    );
  });
});
