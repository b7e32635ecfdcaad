import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { type Site, sites } from '@selvedge/api';
import { createLogger } from '@selvedge/api/node';
import { type Hub, startHub } from '@selvedge/hub';
import { type Captured, runCaptured } from '../testing/run-captured.ts';

describe('selvedge site hold, release, adopt and override', () => {
  let folder = '';
  let hub: Hub;
  const cli = (...args: string[]): Promise<Captured> =>
    runCaptured(args, { env: { SELVEDGE_KUBECONFIG: hub.kubeconfigPath } });
  const site = (name: string): Promise<Site> => hub.client.get<Site>(sites, { name });

  before(async () => {
    folder = await mkdtemp(join(tmpdir(), 'selvedge-cli-site-'));
    hub = await startHub({ data: folder, listen: '127.0.0.1:0', logger: createLogger({ level: 'silent' }) });
    for (const name of ['berlin', 'munich']) {
      await hub.client.create<Site>(sites, {
        apiVersion: 'selvedge.dev/v1alpha1',
        kind: 'Site',
        metadata: { name },
        spec: {},
      });
    }
  });
  after(async () => {
    await hub.close();
    await rm(folder, { recursive: true });
  });

  test('a hold needs a reason, stands in the Site, and ends', async () => {
    assert.equal((await cli('site', 'hold', 'berlin')).code, 2);
    assert.equal((await cli('site', 'hold', 'berlin', '--reason', ' ')).code, 2);
    const held = await cli('site', 'hold', 'berlin', '--reason', 'stock-taking');
    assert.equal(held.code, 0, held.stderr);
    assert.match(held.stdout, /berlin is on hold: nothing is activated and nothing removed there/);
    assert.match(held.stderr, /not in touch[^]*selvedge site release berlin/);
    assert.deepEqual((await site('berlin')).spec?.hold, { reason: 'stock-taking' });
    assert.match((await cli('site', 'show', 'berlin')).stdout, /Hold +stock-taking/);
    assert.match((await cli('site', 'release', 'berlin')).stdout, /The hold of berlin is over/);
    assert.equal((await site('berlin')).spec?.hold, undefined);
    assert.match((await cli('site', 'release', 'berlin')).stdout, /berlin was not on hold/);
    const unknown = await cli('site', 'hold', 'berlni', '--reason', 'x');
    assert.equal(unknown.code, 1);
    assert.match(unknown.stderr, /Did you mean berlin/);
  });

  test('adopt and override want a name or --all, and are refused where nothing is ahead', async () => {
    for (const action of ['adopt', 'override']) {
      assert.equal((await cli('site', action)).code, 2);
      assert.equal((await cli('site', action, 'berlin', '--all')).code, 2);
      const none = await cli('site', action, '--all', '--yes');
      assert.deepEqual([none.code, none.stdout], [0, 'No site is ahead of the hub.\n']);
      const refused = await cli('site', action, 'berlin', '--yes');
      assert.equal(refused.code, 1);
      assert.match(refused.stderr, new RegExp(`there is nothing to ${action}`));
    }
  });

  test('of a silent site that is ahead: what would change is shown, and the wish is kept', async () => {
    // Of a site that nobody speaks for, no claim stands.
    await hub.fleet.addSiteKey({
      site: 'munich',
      siteUid: (await site('munich')).metadata.uid ?? '',
      publicKey: 'bXVuaWNo',
      fingerprint: `SHA256:${'m'.repeat(43)}`,
      tokenUid: 'token',
      enrolledAt: new Date().toISOString(),
    });
    const present = await site('munich');
    await hub.client.mergePatch(
      sites,
      { name: 'munich' },
      {
        metadata: { resourceVersion: present.metadata.resourceVersion },
        status: {
          conditions: [
            ...(present.status?.conditions ?? []),
            {
              type: 'HubBehind',
              status: 'True',
              reason: 'AgentHasNewerState',
              message: 'ahead',
              lastTransitionTime: new Date().toISOString(),
            },
          ],
          hubBehind: {
            agentEpoch: 7,
            stateDigest: `sha256:${'0'.repeat(64)}`,
            applications: [{ name: 'shop/sign', release: 'sign-1', digest: `sha256:${'1'.repeat(64)}` }],
          },
        },
      },
      { subresource: 'status' },
    );
    const asks = await cli('site', 'adopt', 'munich');
    assert.equal(asks.code, 2);
    assert.match(asks.stderr, /munich:\n {2}shop\/sign: stays sign-1[^]*pass --yes/);
    assert.equal((await site('munich')).status?.recovery, undefined);
    const asked = await cli('site', 'override', '--all', '--yes');
    assert.equal(asked.code, 0, asked.stderr);
    assert.match(asked.stdout, /munich: requested\. The site is silent: it is done when it comes back\./);
    assert.equal((await site('munich')).status?.recovery?.action, 'Override');
    const changedMind = await cli('site', 'adopt', 'munich', '--yes', '-o', 'json');
    const [document] = JSON.parse(changedMind.stdout) as { site: string; action: string; state: string }[];
    assert.deepEqual([document?.site, document?.action, document?.state], ['munich', 'Adopt', 'Requested']);
    const status = await cli('status');
    assert.equal(status.code, 1);
    assert.match(status.stdout, /✗ site munich: ahead/);
  });
});
