import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import {
  type Application,
  applications,
  type EnrollmentToken,
  type EnrollmentTokenClaims,
  enrollmentTokens,
  type ItemReport,
  type Site,
  sites,
} from '@selvedge/api';
import { createLogger } from '@selvedge/api/node';
import { type Hub, startHub } from '@selvedge/hub';
import type { StatusReport } from './status/status-report.ts';
import { type Captured, runCaptured, startCaptured } from './testing/run-captured.ts';
import type { WhyReport } from './why/explain-delivery.ts';

const application: Application = {
  apiVersion: 'selvedge.dev/v1alpha1',
  kind: 'Application',
  metadata: { name: 'till', namespace: 'shop' },
  spec: {
    source: {
      inline: {
        manifests: [
          {
            apiVersion: 'v1',
            kind: 'ConfigMap',
            metadata: { name: 'page' },
            data: { color: '${site.variables.color}' },
          },
        ],
      },
    },
    placement: { siteSelector: { matchLabels: { tier: 'store' } } },
    rollout: {
      waves: [
        { name: 'canary', sites: 1, soak: '1h' },
        { name: 'rest', percent: 100 },
      ],
      // The failure stays to be looked at.
      onBreach: 'Pause',
    },
  },
};

async function waitUntil(what: string, condition: () => boolean): Promise<void> {
  for (let tries = 0; !condition(); tries++) {
    if (tries === 400) assert.fail(`waited in vain until ${what}`);
    await sleep(50);
  }
}

/** One hub, and the story of a fleet on it; each test goes on where the one before ended. */
describe('the CLI on a hub', () => {
  let folder = '';
  let hub: Hub;
  let seq = 0;
  const cli = (...args: string[]): Promise<Captured> =>
    runCaptured(args, { env: { SELVEDGE_KUBECONFIG: hub.kubeconfigPath } });
  const json = async <T>(...args: string[]): Promise<T> =>
    JSON.parse((await cli(...args, '-o', 'json')).stdout) as T;

  before(async () => {
    folder = await mkdtemp(join(tmpdir(), 'selvedge-cli-hub-'));
    hub = await startHub({ data: folder, listen: '127.0.0.1:0', logger: createLogger({ level: 'silent' }) });
    await hub.client.create(
      { group: '', version: 'v1', plural: 'namespaces', kind: 'Namespace', namespaced: false },
      {
        apiVersion: 'v1',
        kind: 'Namespace',
        metadata: { name: 'shop' },
      },
    );
  });
  after(async () => {
    await hub.close();
    await rm(folder, { recursive: true });
  });

  const why = (site: string, name = 'till') => json<WhyReport>('why', site, name, '-n', 'shop');
  const whyBecomes = async (site: string, verdict: WhyReport['verdict']): Promise<WhyReport> => {
    for (let tries = 0; ; tries++) {
      const report = await why(site);
      if (report.verdict === verdict) return report;
      if (tries === 200)
        assert.fail(`${site} stays ${report.verdict}, not ${verdict}: ${JSON.stringify(report)}`);
      await sleep(100);
    }
  };
  const makeSite = async (
    name: string,
    tier: string,
    variables: Record<string, string> = { color: 'red' },
  ) => {
    const site: Site = {
      apiVersion: 'selvedge.dev/v1alpha1',
      kind: 'Site',
      metadata: { name, labels: { tier } },
      spec: { variables },
    };
    return hub.client.create<Site>(sites, site);
  };
  /** What the gateway stores when an agent speaks. */
  const agentSays = async (site: string, says: Partial<ItemReport> & Pick<ItemReport, 'state'>) => {
    const receivedAt = new Date().toISOString();
    hub.fleet.touch({ site, lastSeenAt: receivedAt, agentEpoch: 0, agentStateDigest: '' });
    const { rows } = await hub.fleet.siteState(site);
    const row = rows.find((r) => r.application === 'till');
    assert.ok(row);
    seq += 1;
    const report: ItemReport = {
      id: 'Application/shop/till',
      uid: row.applicationUid,
      epoch: row.epoch,
      release: row.release,
      digest: row.digest,
      sinceTime: receivedAt,
      observedTime: receivedAt,
      seq,
      ...says,
    };
    await hub.fleet.saveReports(site, [report], receivedAt);
  };
  const isHeardOf = (site: string) =>
    hub.fleet.touch({ site, lastSeenAt: new Date().toISOString(), agentEpoch: 0, agentStateDigest: '' });

  test('an empty fleet: status says how to begin', async () => {
    const { code, stdout } = await cli('status');
    assert.equal(code, 0);
    assert.match(stdout, /No applications[^]*No sites/);
  });

  test('site token prints the token alone, and the same one again while it is good', async () => {
    const first = await cli('site', 'token', 'shop-1', '--label', 'tier=store');
    assert.equal(first.code, 0, first.stderr);
    assert.match(first.stdout, /^selvedge1\.[\w-]+\n$/);
    assert.match(first.stderr, /Valid once, for 24h/);
    assert.equal((await cli('site', 'token', 'shop-1', '--label', 'tier=store')).stdout, first.stdout);
    const other = await cli('site', 'token', 'shop-1', '--ttl', '1h');
    assert.notEqual(other.stdout, first.stdout);
    const document = await json<{ token: string; uses: number }>(
      'site',
      'token',
      'a-{random}',
      '--uses',
      '9',
    );
    assert.equal(document.uses, 9);
    const relayed = await cli('site', 'token', 'shop-2', '--hub-url', 'https://relay:1');
    const claims = JSON.parse(
      Buffer.from(relayed.stdout.trim().slice('selvedge1.'.length), 'base64url').toString('utf8'),
    ) as EnrollmentTokenClaims;
    assert.deepEqual(claims.hubs, ['https://relay:1']);
    assert.equal(claims.token, 'site-shop-2');
  });

  test('site manifest prints what kubectl applies, or its address, and refuses what cannot be installed', async () => {
    const printed = await cli(
      'site',
      'manifest',
      'plant',
      '--rbac',
      'minimal',
      '--hub-url',
      'https://relay:1',
    );
    assert.equal(printed.code, 0, printed.stderr);
    assert.match(printed.stdout, /^---\napiVersion: v1\nkind: Namespace\n/);
    assert.doesNotMatch(printed.stdout, /selvedge-agent-applications/);
    const token = /token: selvedge1\.([\w-]+)/.exec(printed.stdout)?.[1] ?? '';
    const claims = JSON.parse(Buffer.from(token, 'base64url').toString('utf8')) as EnrollmentTokenClaims;
    assert.deepEqual([claims.token, claims.hubs], ['site-plant', ['https://relay:1']]);
    const address = await cli('site', 'manifest', 'plant', '--url');
    assert.equal(address.code, 0, address.stderr);
    assert.match(address.stdout, /^https:\/\/\S+\/enroll\/\S+\n$/);
    assert.match(address.stderr, /Good for 15m/);
    const wrong = await cli('site', 'manifest', 'plant', '--allow', 'a b');
    assert.equal(wrong.code, 2);
    assert.match(wrong.stderr, /"a b" has to be a resource/);
    assert.equal((await cli('site', 'manifest', 'plant', '--url', '--hub-url', 'https://relay:1')).code, 2);
  });

  test('a token that somebody else made is never replaced', async () => {
    await hub.client.create<EnrollmentToken>(enrollmentTokens, {
      apiVersion: 'selvedge.dev/v1alpha1',
      kind: 'EnrollmentToken',
      metadata: { name: 'site-mine' },
      spec: { siteName: 'mine', ttl: '7d' },
    });
    const refused = await cli('site', 'token', 'mine');
    assert.equal(refused.code, 1);
    assert.match(refused.stderr, /made by somebody else[^]*kubectl delete enrollmenttoken site-mine/);
    assert.equal((await cli('site', 'token', 'mine', '--ttl', '7d')).code, 0);
  });

  test('people who ask for one token at the same time all get one', async () => {
    const answers = await Promise.all(Array.from({ length: 4 }, () => cli('site', 'token', 'rush')));
    for (const { code, stderr } of answers) assert.equal(code, 0, stderr);
    assert.equal(new Set(answers.map((answer) => answer.stdout)).size, 1);
  });

  test('a name that is none is refused by the hub, by its field', async () => {
    const { code, stderr } = await cli('site', 'token', 'Shop_1', '-o', 'json');
    assert.equal(code, 1);
    assert.equal((JSON.parse(stderr) as { reason: string }).reason, 'Invalid');
  });

  test('why of unknown names suggests near ones', async () => {
    await Promise.all([makeSite('shop-1', 'store'), makeSite('shop-2', 'store'), makeSite('depot', 'depot')]);
    const unknownSite = await cli('why', 'shpo-1', 'till', '-n', 'shop');
    assert.equal(unknownSite.code, 1);
    assert.match(unknownSite.stdout, /there is no site shpo-1\.[^]*Did you mean shop-1/);
    assert.equal((await why('shop-1')).verdict, 'NotFound');
    const shown = await cli('site', 'show', 'shpo-1');
    assert.equal(shown.code, 1);
    assert.match(shown.stderr, /there is no site shpo-1\n {2}Did you mean shop-1/);
  });

  test('a site that no agent joined, one that is not selected, one without the variable', async () => {
    await hub.client.create<Application>(applications, application);
    const never = await whyBecomes('shop-1', 'NeverConnected');
    assert.deepEqual(never.commands, ['selvedge site token shop-1']);
    const depot = await why('depot');
    assert.equal(depot.verdict, 'NotSelected');
    assert.match(depot.chain[0]?.text ?? '', /wants tier=store; it has tier=depot/);
    await makeSite('plain', 'store', {});
    assert.equal((await why('plain')).verdict, 'Blocked');
    await hub.client.delete(sites, { name: 'plain' });
  });

  test('the canary is given the release, the other waits for its wave', async () => {
    isHeardOf('shop-1');
    isHeardOf('shop-2');
    let reports: WhyReport[] = [];
    for (let tries = 0; tries < 200; tries++) {
      reports = await Promise.all([why('shop-1'), why('shop-2')]);
      if (
        reports
          .map((r) => r.verdict)
          .sort()
          .join() === 'Progressing,Waiting'
      )
        break;
      await sleep(100);
    }
    assert.deepEqual(reports.map((r) => r.verdict).sort(), ['Progressing', 'Waiting']);
    const waiting = reports.find((r) => r.verdict === 'Waiting');
    assert.match(JSON.stringify(waiting?.chain), /the next is rest/);
    const expected = /shop\/till +till-[0-9a-f]{10} +2 +0 +1 +0 +0 +1 +Progressing[^]*shop-1 +Connected/;
    for (let tries = 0; ; tries++) {
      const { code, stdout } = await cli('status');
      // A Site that was deleted counts until it is gone.
      if (code === 0 && expected.test(stdout)) break;
      if (tries === 200) assert.fail(`status exits ${code}: ${stdout}`);
      await sleep(100);
    }
  });

  test('a running canary soaks; a failed one is a problem that leads to why, which has the log', async () => {
    const canary = (await why('shop-1')).verdict === 'Progressing' ? 'shop-1' : 'shop-2';
    await agentSays(canary, { state: 'Running', pods: { wanted: 1, ready: 1 } });
    const running = await whyBecomes(canary, 'Running');
    assert.equal(running.isTrouble, false);
    await agentSays(canary, {
      state: 'Failed',
      reason: 'CrashLoop',
      message: 'container web exited with 1',
      logs: ['cannot open /data'],
    });
    await whyBecomes(canary, 'Failed');
    const told = await cli('why', canary, 'shop/till');
    assert.equal(told.code, 1);
    assert.match(
      told.stdout,
      /^Failed: .*CrashLoop\.\n[^]*Last lines of the container:\n {2}\| cannot open \/data/,
    );
    let status: StatusReport | undefined;
    for (let tries = 0; tries < 200 && !status?.problems.length; tries++) {
      status = await json<StatusReport>('status', '-n', 'shop');
      await sleep(50);
    }
    assert.ok(status?.problems.some((p) => p.command === `selvedge why ${canary} till -n shop`));
    const shown = await cli('site', 'show', canary);
    assert.equal(shown.code, 1);
    assert.match(shown.stdout, /shop\/till +till-\w+ +Failed/);
    assert.match((await cli('site', 'list')).stdout, new RegExp(`${canary} +Connected`));
  });

  test('status --watch shows changes as they come and ends by its signal', async () => {
    const stop = new AbortController();
    const watching = startCaptured(['status', '--watch', '-o', 'json'], {
      env: { SELVEDGE_KUBECONFIG: hub.kubeconfigPath },
      signal: stop.signal,
    });
    const shows = (text: string) => waitUntil(`status shows ${text}`, () => watching.stdout().includes(text));
    await shows('"shop-1"');
    assert.ok(!watching.stdout().includes('"late"'));
    await makeSite('late', 'depot');
    await shows('"late"');
    stop.abort();
    const { stdout } = await watching.ended;
    for (const line of stdout.trim().split('\n'))
      assert.ok(Array.isArray((JSON.parse(line) as StatusReport).sites));
  });

  test('revoking needs a key and a yes', async () => {
    const keyFingerprint = `SHA256:${'x'.repeat(43)}`;
    const none = await cli('site', 'revoke', 'depot', '--yes');
    assert.equal(none.code, 1);
    assert.match(none.stderr, /no key that could be revoked/);
    await hub.client.mergePatch(
      sites,
      { name: 'shop-1' },
      {
        status: {
          agent: { version: '1', keyFingerprint, enrolledTime: new Date().toISOString() },
        },
      },
      { subresource: 'status' },
    );
    assert.equal((await cli('site', 'revoke', 'shop-1')).code, 2);
    const done = await cli('site', 'revoke', 'shop-1', '--yes');
    assert.equal(done.code, 0, done.stderr);
    assert.ok(done.stdout.startsWith(`${keyFingerprint} is revoked`));
    const site = await hub.client.get<Site>(sites, { name: 'shop-1' });
    assert.deepEqual(site.spec?.revokedKeys, [keyFingerprint]);
    assert.match((await cli('site', 'revoke', 'shop-1')).stdout, /was revoked before/);
  });
});
