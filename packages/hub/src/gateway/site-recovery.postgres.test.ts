import assert from 'node:assert/strict';
import { after, before, describe, test, type TestContext } from 'node:test';
import { canonicalJson, defaultItemTerms, type DesiredState, type Site, sites } from '@selvedge/api';
import { createLogger, sha256Digest, stateDigest, systemClock } from '@selvedge/api/node';
import { createHttpClient, loadKubeconfig, resourcePath } from '@selvedge/kube';
import { requireTool, startTestPostgres, type TestPostgres } from '@selvedge/testkit';
import { openHubIdentity } from '../identity/hub-identity.ts';
import type { Hub } from '../server/start-hub.ts';
import type { TestAgent } from './testing/test-agent.ts';
import { eventually } from './testing/test-hub.ts';
import { enrolAgent, startTwoHubs } from './testing/two-hubs.ts';

const logger = createLogger({ level: 'silent' });

describe('two hubs on a database that lost its memory', requireTool('postgres', 'initdb', 'psql'), () => {
  let postgres: TestPostgres;
  before(async () => {
    postgres = await startTestPostgres();
  });
  after(() => postgres.remove());

  /** An agent that follows what a hub with these keys ordered, of which nobody knows any more. */
  async function agentAhead(t: TestContext, hub: Hub, data: string): Promise<TestAgent> {
    const identity = await openHubIdentity({ dataDirectory: data, clock: systemClock, logger });
    const agent = await enrolAgent(t, { hub, data, site: 'shop' });
    const state: DesiredState = {
      hubId: identity.hubId,
      site: agent.site,
      siteUid: agent.siteUid,
      epoch: 9,
      variables: { color: 'red' },
      policy: { timeZone: 'UTC' },
      items: [
        {
          id: 'Application/shop/till',
          uid: 'till-uid',
          epoch: 9,
          release: 'till-1',
          digest: sha256Digest('till'),
          deadlineSeconds: 600,
          terms: defaultItemTerms,
        },
      ],
      tombstones: [],
    };
    const { hubId, site, siteUid, epoch } = state;
    const header = { hubId, site, siteUid, epoch, stateDigest: stateDigest(state) };
    const signed = await identity.fleetKey.sign(canonicalJson(header));
    await agent.accept({ signed, full: true, ...state });
    return agent;
  }

  test('a site that waits at one hub is adopted at once by a wish that came to the other', async (t) => {
    const { hubs, data } = await startTwoHubs(t, postgres);
    const [a, b] = hubs;
    const agent = await agentAhead(t, a, data);
    assert.equal((await agent.sync()).body.sendState, true);
    assert.equal((await agent.sync({ held: agent.held(), maxWaitSeconds: 1 })).code, 200);
    const began = performance.now();
    const poll = agent.sync();
    const client = createHttpClient({ kubeconfig: await loadKubeconfig(b.kubeconfigPath) });
    t.after(() => client.close());
    const path = resourcePath(sites, { name: 'shop', subresource: 'adopt' });
    const asked = await eventually(async () =>
      client.request<Site>({ method: 'POST', path, body: {} }).catch(() => undefined),
    );
    assert.equal(asked.status?.recovery?.state, 'Requested');
    assert.equal((await poll).body.sendState, true);
    assert.ok(performance.now() - began < 40_000, 'answered by the wish, not by the end of the wait');
    // The agent may be answered by either hub.
    agent.url = b.url;
    assert.equal((await agent.sync({ held: agent.held(), maxWaitSeconds: 1 })).body.state, undefined);
    for (const hub of hubs) {
      const site = await hub.client.get<Site>(sites, { name: 'shop' });
      assert.equal(site.status?.recovery?.state, 'Done');
      assert.deepEqual(site.spec?.variables, { color: 'red' });
      assert.equal((await hub.fleet.siteEpochs()).get('shop'), 9);
    }
    agent.url = a.url;
    assert.equal((await agent.sync({ maxWaitSeconds: 1 })).body.state, undefined);
    assert.equal(agent.epoch, 9);
  });
});
