import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { readdir, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { StatusError } from '@selvedge/api';
import { systemClock } from '@selvedge/api/node';
import { EnrolmentRefused } from './enrolment/enrolment-refused.ts';
import { MemoryDriver } from './testing/memory-driver.ts';
import { eventually, makeStateDir, startTestAgent } from './testing/test-agent.ts';
import { issueCertificate, makeAuthority } from './testing/test-certificates.ts';
import { statusBody, TestHub } from './testing/test-hub.ts';

const manifests = [{ apiVersion: 'v1', kind: 'ConfigMap', metadata: { name: 'x' } }];
const others = [{ apiVersion: 'v1', kind: 'ConfigMap', metadata: { name: 'y' } }];

/** A hub, an agent that is enrolled, and one application that runs. */
async function setUp(options: Parameters<typeof TestHub.start>[0] = {}) {
  const dir = await makeStateDir();
  const hub = await TestHub.start(options);
  const agent = startTestAgent({ stateDir: dir.path, token: hub.token() });
  const item = hub.assign('till', manifests);
  await eventually('the first report is there', () => hub.reports.size === 1);
  return {
    dir,
    hub,
    agent,
    item,
    stateDir: dir.path,
    async [Symbol.asyncDispose]() {
      await agent.stop().catch(() => {});
      await hub.close();
      await dir[Symbol.asyncDispose]();
    },
  };
}

describe('an agent and its hub', () => {
  test('it enrols, runs what it is given, and reports within about a second', async () => {
    await using dir = await makeStateDir();
    await using hub = await TestHub.start({ waitSeconds: 50 });
    await using agent = startTestAgent({ stateDir: dir.path, token: hub.token() });
    try {
      await eventually('the agent polls', () => hub.requests.length > 0);
      assert.equal(hub.requests[0]?.agent?.runtime, 'memory 1.0');
      hub.variables = { price: 3 };
      const item = hub.assign('till', manifests);
      await eventually('the hub has the report', () => hub.reports.size === 1);
      const [report] = hub.reports.values();
      assert.equal(report?.state, 'Running');
      assert.equal(report?.epoch, item.epoch);
      assert.ok(
        hub.requests.some((request) => request.observedTime !== undefined),
        'it says when it last looked',
      );
      const running = agent.driver.running.get(`${item.id} ${item.uid}`);
      assert.deepEqual(running?.manifests, manifests);
      assert.deepEqual(running?.variables, { price: 3 });

      const startedMs = performance.now();
      const { id, uid, epoch, release, digest } = item;
      agent.driver.report({ id, uid, epoch, release, digest, state: 'Degraded', reason: 'ProbeFailed' });
      await eventually('the hub has the change', () => [...hub.reports.values()][0]?.state === 'Degraded');
      assert.ok(
        performance.now() - startedMs < 30_000,
        'a change of a report does not wait for the poll to end',
      );
      await eventually('the agent polls again', () => hub.requests.at(-1)?.reports.length === 0);
      const polls = hub.requests.length;
      await systemClock.sleep(1500);
      assert.equal(hub.requests.length, polls, 'a quiet site does not ask again and again');
    } finally {
      await agent.stop();
      await hub.close();
    }
    assert.ok(agent.driver.isStopped);
    const keys = await readdir(join(dir.path, 'keys'));
    assert.equal((await stat(join(dir.path, 'keys'))).mode & 0o777, 0o700);
    for (const key of keys) assert.equal((await stat(join(dir.path, 'keys', key))).mode & 0o777, 0o600);
  });

  test('after a restart without the hub it drives the last accepted state', async () => {
    await using site = await setUp();
    await site.agent.stop();
    await site.hub.close();
    await using again = startTestAgent({ stateDir: site.stateDir });
    await eventually('the application runs', () => again.driver.running.size === 1);
    const [running] = again.driver.running.values();
    assert.deepEqual(running?.manifests, manifests);
  });

  test('a restarted agent keeps its identity and does not need the token', async () => {
    await using site = await setUp();
    await site.agent.stop();
    await using again = startTestAgent({ stateDir: site.stateDir, token: site.hub.token() });
    site.hub.assign('kiosk', others);
    await eventually('the new application runs', () => again.driver.running.size === 2);
    assert.equal(site.hub.enrolments.length, 1);
  });

  test('a second agent on the same state directory is refused while the first lives', async () => {
    await using site = await setUp();
    await assert.rejects(startTestAgent({ stateDir: site.stateDir }).done, /another agent runs/);
    await site.agent.stop();
    await using next = startTestAgent({ stateDir: site.stateDir });
    await eventually('the next one works', () => next.driver.running.size === 1);
  });

  test('a tombstone removes, once; absence does not, and is told', async () => {
    await using site = await setUp();
    const { hub, agent, item } = site;
    const kiosk = hub.assign('kiosk', others);
    await eventually('both run', () => hub.reports.size === 2);
    hub.remove(item);
    await eventually(
      'the removal is reported',
      () => hub.reports.get(`${item.id} ${item.uid}`)?.state === 'Removed',
    );
    assert.deepEqual([...agent.driver.running.keys()], [`${kiosk.id} ${kiosk.uid}`]);

    hub.epoch += 1;
    hub.items = [];
    hub.distort = (response) =>
      response.state === undefined
        ? response
        : { ...response, state: { ...response.state, full: true, items: [], tombstones: hub.tombstones } };
    hub.publish();
    await eventually('the absence is told', () =>
      /no longer in the desired state/.test(hub.reports.get(`${kiosk.id} ${kiosk.uid}`)?.message ?? ''),
    );
    assert.equal(agent.driver.running.size, 1);
    await agent.stop();

    await using again = startTestAgent({ stateDir: site.stateDir });
    await eventually('it still runs', () => again.driver.running.size === 1);
    assert.deepEqual(again.driver.removals, [], 'what was removed is not removed again');
  });

  test('an order to remove that was not carried out before a restart is given again', async () => {
    await using site = await setUp();
    site.agent.driver.isIdle = true;
    site.hub.remove(site.item);
    await eventually('the order is there', () => site.agent.driver.removals.length > 0);
    await site.agent.stop();
    await using again = startTestAgent({ stateDir: site.stateDir });
    await eventually(
      'it is removed',
      () => site.hub.reports.get(`${site.item.id} ${site.item.uid}`)?.state === 'Removed',
    );
    assert.deepEqual(again.driver.desired, []);
  });

  test('reports whose answer was lost are sent again, the same ones', async () => {
    await using site = await setUp();
    const { hub, agent, item } = site;
    const { id, uid, epoch, release, digest } = item;
    let lost = 0;
    hub.distort = (response, request) => (request.reports.length > 0 && lost++ < 2 ? undefined : response);
    agent.driver.report({ id, uid, epoch, release, digest, state: 'Degraded' });
    await eventually('the answer arrived at last', () => lost >= 3);
    const sent = hub.requests.filter((request) => request.reports.length > 0).slice(-3);
    assert.deepEqual(sent[0]?.reports, sent[2]?.reports);
  });

  test('a hub that lost the reports gets all of them again', async () => {
    await using site = await setUp();
    site.hub.reports.clear();
    site.hub.assign('kiosk', others);
    await eventually('both reports are there', () => site.hub.reports.size === 2);
  });

  test('a difference that does not fit is answered by asking for the whole', async () => {
    await using site = await setUp();
    const { hub, agent } = site;
    hub.distort = (response) =>
      response.state === undefined || response.state.full
        ? response
        : { ...response, state: { ...response.state, items: [] } };
    hub.assign('kiosk', others);
    await eventually('the new application runs', () => agent.driver.running.size === 2);
    assert.ok(hub.requests.some((request) => request.full === true));
    assert.ok(hub.requests.every((request) => request.refusal === undefined));
  });
});

describe('the certificates that an agent meets', () => {
  test("a new CA of the hub is taken on the fleet key's word, and kept", async () => {
    await using site = await setUp();
    const { hub, agent } = site;
    await hub.renewAuthority();
    hub.assign('kiosk', others);
    await eventually('it syncs again', () => agent.driver.running.size === 2);
    await agent.stop();
    await using again = startTestAgent({ stateDir: site.stateDir });
    hub.assign('stand', others);
    await eventually('it is known after a restart', () => again.driver.running.size === 3);
    assert.ok(!again.log.some((line) => line.message.includes('new CA')));
  });

  test('a CA that another fleet key vouches for is not', async () => {
    await using site = await setUp();
    const { hub, agent } = site;
    await using other = await TestHub.start();
    hub.signingKey = other.signingKey;
    await hub.renewAuthority();
    await eventually('it is refused', () =>
      agent.log.some((line) => line.message.startsWith('the hub cannot')),
    );
    // Not earlier: a request may have been on its way when the CA changed.
    const polls = hub.requests.length;
    await systemClock.sleep(1500);
    assert.equal(hub.requests.length, polls);
    assert.equal(agent.driver.running.size, 1);
  });

  test('a proxy that ends TLS is judged by what the machine trusts', async () => {
    const now = systemClock.now();
    const machineCa = await makeAuthority('a CA of the machine', now);
    const notBefore = new Date(now.getTime() - 60_000);
    const certificate = await issueCertificate(machineCa, { names: ['127.0.0.1'], notBefore, days: 1 });
    await using hub = await TestHub.start({ certificate });
    await using dir = await makeStateDir();
    const caFile = join(dir.path, 'ca.pem');
    await writeFile(caFile, machineCa.certificate);
    const start = (state: string, environment: NodeJS.ProcessEnv) => {
      const program = join(import.meta.dirname, 'testing/agent-program.ts');
      const child = spawn(process.execPath, [program, join(dir.path, state), hub.token()], {
        env: { PATH: '/usr/bin:/bin', ...environment },
        stdio: 'ignore',
      });
      const ended = new Promise((resolve) => child.once('exit', resolve));
      return {
        [Symbol.asyncDispose]: async () => {
          child.kill('SIGKILL');
          await ended;
        },
      };
    };
    {
      await using _distrusting = start('a', {});
      await eventually('it has asked who the hub is', () => hub.identityRequests > 1);
      assert.equal(hub.enrolments.length, 0, 'no secret is sent');
    }
    await using _trusting = start('b', { NODE_EXTRA_CA_CERTS: caFile });
    await eventually('it polls', () => hub.requests.length > 0);
  });
});

describe('desired states that an agent refuses', () => {
  const refusalOf = (hub: TestHub) => hub.requests.at(-1)?.refusal;

  test('an older epoch: what runs goes on, the hub is told why', async () => {
    await using site = await setUp();
    const { hub, agent } = site;
    hub.assign('kiosk', others);
    await eventually('both run', () => hub.reports.size === 2);
    hub.epoch = 1;
    hub.items = [];
    hub.publish();
    await eventually('the hub is told', () => refusalOf(hub)?.reason === 'OlderEpoch');
    assert.equal(agent.driver.running.size, 2);
    assert.equal(agent.log.filter((line) => line.level === 'error').length, 1, 'logged once');
    hub.epoch = 7;
    hub.publish();
    await eventually('a newer one is taken again', () => hub.requests.at(-1)?.epoch === 7);
    await eventually('the refusal is over', () => refusalOf(hub) === undefined);
    assert.equal(agent.driver.running.size, 2);
  });

  test('another state under the same epoch', async () => {
    await using site = await setUp();
    site.hub.items = [];
    site.hub.publish();
    await eventually('the hub is told', () => /same epoch/.test(refusalOf(site.hub)?.message ?? ''));
    assert.equal(site.agent.driver.desired.length, 1);
  });

  test('a state that was altered on the way, also when all of it was sent', async () => {
    await using site = await setUp();
    const { hub, agent } = site;
    hub.distort = (response) => {
      if (response.state === undefined) return response;
      const items = response.state.items.map((one) => ({ ...one, digest: `sha256:${'0'.repeat(64)}` }));
      return { ...response, state: { ...response.state, items } };
    };
    hub.assign('kiosk', others);
    await eventually('the hub is told', () => refusalOf(hub)?.reason === 'DigestMismatch');
    assert.equal(agent.driver.desired.length, 1);
    hub.distort = undefined;
    hub.assign('stand', others);
    await eventually('the true state is taken', () => agent.driver.running.size === 3);
  });

  test('a state signed by another key', async () => {
    await using site = await setUp();
    await using other = await TestHub.start();
    await other.close();
    site.hub.signingKey = other.signingKey;
    site.hub.assign('kiosk', others);
    await eventually('the hub is told', () => refusalOf(site.hub)?.reason === 'BadSignature');
    assert.equal(refusalOf(site.hub)?.epoch, 2);
    assert.equal(site.agent.driver.desired.length, 1);
  });

  test('a state for another site', async () => {
    await using site = await setUp();
    site.hub.siteUid = 'another';
    site.hub.assign('kiosk', others);
    await eventually('the hub is told', () => refusalOf(site.hub)?.reason === 'WrongSite');
    assert.equal(site.agent.driver.desired.length, 1);
  });
});

describe('enrolment', () => {
  test('what the hub refuses for good ends the agent with what the hub said', async () => {
    for (const reason of ['Forbidden', 'Unauthorized', 'Gone', 'Conflict'] as const) {
      await using dir = await makeStateDir();
      await using hub = await TestHub.start();
      hub.enrolAnswer = () => statusBody(reason, 'the token shop-1 has been used');
      await using agent = startTestAgent({ stateDir: dir.path, token: hub.token() });
      await assert.rejects(
        agent.done,
        (error) => error instanceof EnrolmentRefused && /token shop-1 has been used/.test(error.message),
      );
      await hub.close();
    }
  });

  test('trouble on the way and a pending approval are waited out', async () => {
    await using dir = await makeStateDir();
    await using hub = await TestHub.start();
    const answers = [
      { status: 502, body: 'bad gateway, says a proxy' },
      { status: 403, body: { blocked: 'by a firewall' } },
      statusBody('ServiceUnavailable', 'starting'),
      { status: 202, body: { status: 'Pending', message: 'approve shop-1', retryAfterSeconds: 0.1 } },
    ];
    hub.enrolAnswer = () => answers.shift();
    await using agent = startTestAgent({ stateDir: dir.path, token: hub.token() });
    await eventually('it is enrolled', () => hub.enrolments.length === 1);
    assert.ok(agent.log.some((line) => line.message === 'enrolment waits for approval'));
  });

  test('a hub with another fleet key gets no secret', async () => {
    await using dir = await makeStateDir();
    await using hub = await TestHub.start();
    await using agent = startTestAgent({
      stateDir: dir.path,
      token: hub.token({ fingerprint: 'SHA256:other' }),
    });
    await assert.rejects(
      agent.done,
      (error) => error instanceof EnrolmentRefused && /another hub/.test(error.message),
    );
    assert.equal(hub.enrolments.length, 0);
  });

  test('a state directory is not mixed with another hub', async () => {
    await using site = await setUp();
    await site.agent.stop();
    await using other = await TestHub.start();
    await using agent = startTestAgent({ stateDir: site.stateDir, token: other.token() });
    await assert.rejects(
      agent.done,
      (error) => error instanceof EnrolmentRefused && /another hub/.test(error.message),
    );
  });

  test('without a token it says what to do', async () => {
    await using dir = await makeStateDir();
    await assert.rejects(
      startTestAgent({ stateDir: dir.path }).done,
      (error) => error instanceof EnrolmentRefused && /--token-file/.test(error.message),
    );
  });

  test('a revoked key leaves applications alone; a new token joins again with a new key', async () => {
    await using site = await setUp();
    const { hub, agent, item } = site;
    const oldKey = hub.knownKey;
    hub.knownKey = undefined;
    hub.publish();
    await eventually('it is said', () => agent.log.some((line) => line.message.includes('refuses the key')));
    assert.equal(agent.driver.running.size, 1);
    await agent.stop();

    await using same = startTestAgent({ stateDir: site.stateDir, token: hub.token(), keyRefusedRetryMs: 50 });
    await eventually('it runs without the hub', () => same.driver.running.size === 1);
    assert.equal(hub.enrolments.length, 1, 'the token that was used is not tried again');
    await same.stop();

    const driver = new MemoryDriver();
    hub.enrolAnswer = () => statusBody('Forbidden', 'no');
    await using refused = startTestAgent({
      stateDir: site.stateDir,
      token: hub.token({ name: 'new' }),
      driver,
    });
    await eventually('the refusal is said', () =>
      refused.log.some((line) => line.message.startsWith('enrolling again failed')),
    );
    assert.equal(driver.running.size, 1);
    await refused.stop();

    hub.enrolAnswer = undefined;
    hub.siteUid = 'made-again';
    hub.epoch += 1;
    await using joined = startTestAgent({ stateDir: site.stateDir, token: hub.token({ name: 'new' }) });
    await eventually('it syncs again', () => hub.requests.at(-1)?.epoch === hub.epoch);
    assert.notEqual(hub.knownKey, oldKey);
    assert.equal(joined.driver.running.size, 1);
    assert.deepEqual(joined.driver.removals, []);
    hub.remove(item);
    await eventually('it obeys', () => joined.driver.running.size === 0);
  });

  test('a key that is taken again needs nobody', async () => {
    await using site = await setUp();
    await site.agent.stop();
    const { hub } = site;
    await using agent = startTestAgent({ stateDir: site.stateDir, keyRefusedRetryMs: 50 });
    hub.refuse = () => new StatusError('Unauthorized', 'the key of shop-1 is revoked');
    hub.publish();
    await eventually('it is refused', () =>
      agent.log.some((line) => line.message.includes('refuses the key')),
    );
    hub.refuse = undefined;
    hub.assign('kiosk', others);
    await eventually('it syncs again', () => agent.driver.running.size === 2);
    assert.ok(agent.log.some((line) => line.message.includes('takes the key of this agent again')));
  });
});
