import assert from 'node:assert/strict';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import {
  type ApplicationPlan,
  type Application,
  applications,
  type DeliveryState,
  namespaces,
  type Rollout,
  rollouts,
  type Site,
  sites,
} from '@selvedge/api';
import { createLogger } from '@selvedge/api/node';
import { type Hub, startHub } from '@selvedge/hub';
import { clearTerminal } from './program/terminal.ts';
import type { RolloutReport } from './rollout/rollout-report.ts';
import { type Captured, runCaptured, startCaptured } from './testing/run-captured.ts';
import type { WhyReport } from './why/explain-delivery.ts';

const names = ['shop-1', 'shop-2', 'shop-3', 'shop-4'];

/** One hub, and the story of an application's releases on it; each test goes on where the one before ended. */
describe('releases on their way, on a hub', () => {
  let folder = '';
  let hub: Hub;
  let seq = Date.now();
  /** What agents say of a release; those that are not named run it. */
  const outcomes = new Map<string, DeliveryState>();
  const agents = new AbortController();
  let agentsStopped: Promise<void>;

  const cli = (...args: string[]): Promise<Captured> =>
    runCaptured(args, { env: { SELVEDGE_KUBECONFIG: hub.kubeconfigPath } });
  const json = async <T>(...args: string[]): Promise<T> =>
    JSON.parse((await cli(...args, '-o', 'json')).stdout) as T;
  const rollout = (name: string) => hub.client.get<Rollout>(rollouts, { namespace: 'shop', name });
  const newest = async (): Promise<RolloutReport> =>
    json<RolloutReport>('rollout', 'status', 'till', '-n', 'shop');
  const becomes = async (what: string, check: (report: RolloutReport) => boolean): Promise<RolloutReport> => {
    for (let tries = 0; ; tries++) {
      const report = await newest();
      if (check(report)) return report;
      if (tries === 300) assert.fail(`waited in vain until ${what}: ${JSON.stringify(report)}`);
      await sleep(100);
    }
  };
  const fileOf = async (text: string, changes: Partial<Application['spec']> = {}): Promise<string> => {
    const application: Application = {
      apiVersion: 'selvedge.dev/v1alpha1',
      kind: 'Application',
      metadata: { name: 'till', namespace: 'shop' },
      spec: {
        source: {
          inline: {
            manifests: [{ apiVersion: 'v1', kind: 'ConfigMap', metadata: { name: 'page' }, data: { text } }],
          },
        },
        placement: { siteSelector: { matchLabels: { tier: 'store' } } },
        rollout: {
          waves: [
            { name: 'canary', sites: 1, soak: '1h' },
            { name: 'rest', percent: 100, approval: 'Manual' },
          ],
        },
        ...changes,
      },
    };
    const file = join(folder, `${text}.json`);
    await writeFile(file, JSON.stringify(application));
    return file;
  };
  const apply = async (text: string, changes: Partial<Application['spec']> = {}): Promise<void> => {
    const { readFile } = await import('node:fs/promises');
    const wanted = JSON.parse(await readFile(await fileOf(text, changes), 'utf8')) as Application;
    const present = await hub.client.find<Application>(applications, wanted.metadata as { name: string });
    if (present) await hub.client.update<Application>(applications, { ...present, spec: wanted.spec });
    else await hub.client.create(applications, wanted);
  };

  /** What the gateway stores when agents speak. */
  const agentsSpeak = async (): Promise<void> => {
    for (const site of names) {
      const now = new Date().toISOString();
      const { rows, epoch } = await hub.fleet.siteState(site);
      hub.fleet.touch({ site, lastSeenAt: now, agentEpoch: epoch, agentStateDigest: '' });
      for (const row of rows) {
        const state = row.phase === 'Wanted' ? (outcomes.get(row.release) ?? 'Running') : 'Removed';
        if (row.report?.epoch === row.epoch && row.report.state === state) continue;
        seq += 1;
        const { release, digest } = row;
        const own = {
          id: 'Application/shop/till',
          uid: row.applicationUid,
          epoch: row.epoch,
          release,
          digest,
          seq,
        };
        const times = { sinceTime: now, observedTime: now, activatedTime: now };
        const said =
          state === 'Running' ? { runningDigest: digest } : { reason: 'CrashLoop', message: 'exit 1' };
        await hub.fleet.saveReports(site, [{ ...own, ...times, ...said, state }], now);
      }
    }
  };

  before(async () => {
    folder = await mkdtemp(join(tmpdir(), 'selvedge-cli-rollout-'));
    hub = await startHub({ data: folder, listen: '127.0.0.1:0', logger: createLogger({ level: 'silent' }) });
    await hub.client.create(namespaces, { apiVersion: 'v1', kind: 'Namespace', metadata: { name: 'shop' } });
    for (const name of names) {
      const metadata = { name, labels: { tier: 'store' } };
      await hub.client.create<Site>(sites, { apiVersion: 'selvedge.dev/v1alpha1', kind: 'Site', metadata });
    }
    agentsStopped = (async () => {
      while (!agents.signal.aborted) {
        await agentsSpeak();
        await sleep(100);
      }
    })();
    for (let tries = 0; tries < 300; tries++) {
      const { items } = await hub.client.list<Site>(sites);
      if (
        items.every((site) =>
          site.status?.conditions?.some((c) => c.type === 'Connected' && c.status === 'True'),
        )
      )
        break;
      await sleep(100);
    }
  });
  after(async () => {
    agents.abort();
    await agentsStopped;
    await hub.close();
    await rm(folder, { recursive: true });
  });

  test('nothing yet: list says how to begin, and an unknown name is told', async () => {
    assert.match((await cli('rollout', 'list')).stdout, /kubectl apply/);
    const unknown = await cli('rollout', 'status', 'till', '-n', 'shop');
    assert.equal(unknown.code, 1);
    assert.match(unknown.stderr, /no application or rollout till in namespace shop/);
  });

  test('plan of a file, for people and for programs; what is no Application is named', async () => {
    const { code, stdout, stderr } = await cli('plan', '-f', await fileOf('one'));
    assert.equal(code, 0, stderr);
    assert.match(stdout, /^shop\/till would be created: release till-[0-9a-f]{10}\n/);
    assert.match(stdout, /added +4 +shop-1, shop-2, shop-3, shop-4/);
    assert.match(stdout, /\+ ConfigMap\/page[^]*\+ {2}text: one/);
    assert.match(stdout, /canary +1 +- +- +now +in (69|70)m/);
    assert.match(stdout, /rest +3 +- +- +not known +not known/);
    assert.match(stdout, /manifests +4 +\d+ B +exactly[^]*Nothing was changed\.\n$/);
    const plan = await json<ApplicationPlan>('plan', '-f', await fileOf('one'));
    assert.equal(plan.status.sites.added.count, 4);
    assert.deepEqual((await hub.client.list(applications)).items, []);
    const file = join(folder, 'mixed.yaml');
    await writeFile(file, 'apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\n');
    assert.match((await cli('plan', '-f', file)).stderr, /no Application/);
    assert.equal((await cli('plan', '-f', join(folder, 'missing.yaml'))).code, 2);
    const wrong = await fileOf('wrong', { rollout: { waves: [{ name: 'canary', sites: 1 }] } });
    assert.match((await cli('plan', '-f', wrong)).stderr, /spec\.rollout\.waves.*percent: 100/);
  });

  test('status and watch of the canary: it soaks, and says for how long', async () => {
    await apply('one');
    const soaking = await becomes('the canary soaks', ({ waves }) => waves[0]?.phase === 'Soaking');
    assert.equal(soaking.phase, 'Progressing');
    assert.ok(soaking.gates.some(({ gate, text }) => gate === 'Soak' && /another 59m|another 1h/.test(text)));
    const shown = await cli('rollout', 'status', 'till', '-n', 'shop');
    assert.equal(shown.code, 0);
    assert.match(shown.stdout, /canary +Soaking +1 +\[#{20}\] +1 succeeded/);
    const stop = new AbortController();
    const watching = startCaptured(['rollout', 'watch', 'till-1', '-n', 'shop'], {
      env: { SELVEDGE_KUBECONFIG: hub.kubeconfigPath },
      signal: stop.signal,
    });
    for (let tries = 0; !watching.stdout().includes('wave canary (Soaking)'); tries++) {
      if (tries === 300) assert.fail(watching.stdout());
      await sleep(50);
    }
    stop.abort();
    assert.equal((await watching.ended).code, 0);
    const late = await cli('rollout', 'watch', 'till', '-n', 'shop', '--timeout', '1s');
    assert.equal(late.code, 1);
    assert.match(late.stderr, /not over after 1s; it goes on/);
  });

  test('pause and resume', async () => {
    const paused = await cli('rollout', 'pause', 'till', '-n', 'shop');
    assert.match(paused.stdout, /^till-1 is paused[^]*selvedge rollout resume till-1 -n shop/);
    await becomes('it is paused', ({ phase }) => phase === 'Paused');
    assert.match(
      (await cli('rollout', 'promote', 'till', '-n', 'shop')).stderr,
      /is Paused[^]*rollout resume/,
    );
    assert.match((await cli('rollout', 'resume', 'till', '-n', 'shop')).stdout, /^till-1 goes on/);
    await becomes('it goes on', ({ phase }) => phase === 'Progressing');
  });

  test('promote: first the gates of the canary, then the wave that waits for a person', async () => {
    const early = await cli('rollout', 'promote', 'till', '-n', 'shop');
    assert.equal(early.code, 1);
    assert.match(
      early.stderr,
      /no wave of till-1 waits for approval: canary is Soaking; it soaks for[^]*--skip-gates/,
    );
    assert.equal((await cli('rollout', 'promote', 'till', '-n', 'shop', '--skip-gates')).code, 0);
    await becomes('the next wave awaits approval', ({ waves }) => waves[1]?.phase === 'AwaitingApproval');
    const waiting = (await newest()).commands;
    assert.deepEqual(waiting, ['selvedge rollout promote till-1 -n shop']);
    const canary = (await hub.fleet.listDeliveries({ namespace: 'shop' })).rows.map((row) => row.site);
    const other = names.find((name) => !canary.includes(name)) ?? '';
    const why = await json<WhyReport>('why', other, 'till', '-n', 'shop');
    assert.equal(why.verdict, 'Waiting');
    assert.equal(why.commands[0], 'selvedge rollout promote till-1 -n shop');
    assert.match(
      (await cli('status')).stdout,
      /wave rest waits for approval\n +selvedge rollout promote till-1 -n shop/,
    );
    assert.match(
      (await cli('rollout', 'promote', 'till', '-n', 'shop')).stdout,
      /Wave rest of till-1 is approved/,
    );
    const watched = await cli('rollout', 'watch', 'till-1', '-n', 'shop', '--timeout', '60s');
    assert.equal(watched.code, 0, watched.stdout);
    assert.match(watched.stdout, /till-1 is Completed/);
    const drawn = await runCaptured(['rollout', 'watch', 'till', '-n', 'shop'], {
      env: { SELVEDGE_KUBECONFIG: hub.kubeconfigPath, NO_COLOR: '1' },
      isTerminal: true,
    });
    assert.ok(drawn.stdout.startsWith(clearTerminal));
    assert.match(drawn.stdout, /till-1 [^]*is Completed[^]*canary +Passed +1 +\[#{20}\]/);
    assert.deepEqual((await rollout('till-1')).spec.waivedWaves, ['canary']);
  });

  test('a bad release: stopped at the canary, taken back, and why says so', async () => {
    const plan = await json<ApplicationPlan>('plan', '-f', await fileOf('two'));
    assert.equal(plan.status.change, 'Changed');
    outcomes.set(plan.status.release.name, 'Failed');
    await apply('two');
    await becomes('the new one begins', ({ name }) => name === 'till-2');
    const watched = await cli('rollout', 'watch', 'till', '-n', 'shop', '--timeout', '60s');
    assert.equal(watched.code, 1);
    assert.match(watched.stdout, /till-2 is Reverted/);
    assert.match(watched.stdout, /BudgetExceeded: 1 site failed[^]*CrashLoop/);
    const why = await cli('why', 'shop-1', 'till', '-n', 'shop');
    assert.equal(why.code, 1);
    assert.match(why.stdout, /^Reverted: [^]*condemned in till-2[^]*rollout lift till-/);
    const status = await cli('status');
    assert.equal(status.code, 1);
    assert.match(status.stdout, /was taken back/);
    const again = await cli('plan', '-f', await fileOf('two'));
    assert.equal(again.code, 1);
    assert.match(again.stdout, /✗ this content was condemned in till-2/);
    const history = await cli('rollout', 'history', 'till', '-n', 'shop');
    assert.match(
      history.stdout,
      /till-2 +till-\w+ +Reverted[^]*BudgetExceeded[^]*till-1 +till-\w+ +(Superseded|Completed)/,
    );
    assert.match(
      (await cli('rollout', 'list', '-n', 'shop')).stdout,
      /shop\/till +till-2 +till-\w+ +Reverted/,
    );
  });

  test('lift: of what is condemned only, and then it is tried again', async () => {
    const { release } = (await rollout('till-2')).spec;
    const good = (await rollout('till-1')).spec.release;
    assert.match((await cli('rollout', 'lift', good, '-n', 'shop')).stderr, /is not condemned/);
    assert.match(
      (await cli('rollout', 'lift', 'till-nothing', '-n', 'shop')).stderr,
      new RegExp(`Condemned there: ${release}`),
    );
    outcomes.delete(release);
    const lifted = await cli('rollout', 'lift', release, '-n', 'shop', '--reason', 'it was the disk');
    assert.equal(lifted.code, 0, lifted.stderr);
    assert.match(lifted.stdout, /allowed again: it was condemned in till-2/);
    await becomes('a new rollout begins', ({ name }) => name === 'till-3');
  });

  test('abort, resume, and a revert that asks first', async () => {
    assert.match((await cli('rollout', 'abort', 'till', '-n', 'shop')).stdout, /^till-3 is aborted/);
    await becomes('it is aborted', ({ phase }) => phase === 'Aborted');
    assert.equal((await cli('rollout', 'status', 'till', '-n', 'shop')).code, 1);
    assert.equal((await cli('rollout', 'resume', 'till', '-n', 'shop')).code, 0);
    await becomes('it goes on', ({ phase }) => phase === 'Progressing');
    const unasked = await cli('rollout', 'revert', 'till', '-n', 'shop');
    assert.equal(unasked.code, 2);
    assert.match(unasked.stderr, /pass --yes/);
    const reverted = await cli('rollout', 'revert', 'till', '-n', 'shop', '--yes');
    assert.match(reverted.stdout, /^till-3 is being reverted: till-\w+ is condemned/);
    await becomes('it is reverted', ({ phase }) => phase === 'Reverted');
    assert.match(
      (await cli('rollout', 'pause', 'till', '-n', 'shop')).stderr,
      /was reverted[^]*rollout lift/,
    );
    assert.match((await cli('rollout', 'pause', 'till-1', '-n', 'shop')).stderr, /is history/);
  });
});
