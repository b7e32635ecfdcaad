import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test, type TestContext } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { type Machine, machines, type Secret, secrets, type Site, sites } from '@selvedge/api';
import { createLogger } from '@selvedge/api/node';
import { type Hub, startHub } from '@selvedge/hub';
import { requireTool } from '@selvedge/testkit';
import { runCaptured, startCaptured } from '../testing/run-captured.ts';

describe('selvedge dev machines', requireTool('qemu-system-x86_64', 'setpriv'), () => {
  let folder: string;
  let hub: Hub;
  let env: Record<string, string>;

  before(async () => {
    folder = await mkdtemp(join(tmpdir(), 'svg-dev-'));
    hub = await startHub({
      data: join(folder, 'hub'),
      listen: '127.0.0.1:0',
      logger: createLogger({ level: 'silent' }),
    });
    env = { KUBECONFIG: join(folder, 'hub/admin.kubeconfig'), PATH: process.env['PATH'] ?? '' };
  });
  after(async () => {
    await hub?.close();
    await rm(folder, { recursive: true, force: true });
  });

  const start = (t: TestContext, ...more: readonly string[]) => {
    const stop = new AbortController();
    const args = [
      'dev',
      'machines',
      '--data',
      join(folder, 'boxes'),
      '--memory',
      '128',
      '--disk',
      '64Mi',
      ...more,
    ];
    const command = startCaptured(args, { env, signal: stop.signal });
    const end = async () => {
      stop.abort();
      return await command.ended;
    };
    // Boxes of a test that failed would run on, and hold the file.
    t.after(end);
    return { command, end };
  };
  const untilShown = async (shown: () => string, pattern: RegExp) => {
    for (let tries = 0; !pattern.test(shown()); tries++) {
      if (tries === 600) assert.fail(`${pattern} was never shown in:\n${shown()}`);
      await sleep(100);
    }
  };
  const machine = (name: string) => hub.client.get<Machine>(machines, { name });

  test('makes the Site, the login and the Machines, and each BMC switches its box', async (t) => {
    const { command, end } = start(t, '--count', '2');
    await untilShown(command.stdout, /dev-2.*\n[\s\S]*machine list/);
    assert.match(command.stdout(), /build-inspection/);
    assert.match(command.stdout(), /selvedge-agent run .*--rack/);
    const site = await hub.client.get<Site>(sites, { name: 'dev' });
    assert.equal(site.spec?.rack?.networks[0]?.dhcp, 'External');
    const { spec } = await machine('dev-1');
    const secret = await hub.client.get<Secret>(secrets, { namespace: 'default', name: 'dev-dev-bmc' });
    const login = `dev:${Buffer.from(secret.data?.['password'] ?? '', 'base64').toString()}`;
    assert.ok(!command.stdout().includes(login.slice(4)));
    const authorization = `Basic ${Buffer.from(login).toString('base64')}`;
    const reset = async (type: string) => {
      const path = '/redfish/v1/Systems/1/Actions/ComputerSystem.Reset';
      const answer = await fetch(`${spec.bmc?.address}${path}`, {
        method: 'POST',
        headers: { authorization, 'content-type': 'application/json' },
        body: JSON.stringify({ ResetType: type }),
      });
      assert.ok(answer.ok, `${type}: ${answer.status} ${await answer.text()}`);
    };
    await reset('On');
    await untilShown(command.stdout, /dev-1 is on/);
    await reset('ForceOff');
    await untilShown(command.stdout, /dev-1 is off/);
    const { code, stderr } = await end();
    assert.equal(code, 0);
    assert.match(stderr, /kubectl delete machines -l selvedge\.dev\/dev-machines=dev/);
    await assert.rejects(fetch(`${spec.bmc?.address}/redfish/v1/`));
  });

  test('started again they are the same Machines, with the wishes of people, at new addresses', async (t) => {
    const before = await machine('dev-1');
    await hub.client.update<Machine>(machines, { ...before, spec: { ...before.spec, protected: true } });
    const { command, end } = start(t);
    await untilShown(command.stdout, /machine list/);
    const again = await machine('dev-1');
    assert.equal(again.metadata.uid, before.metadata.uid);
    assert.equal(again.spec.protected, true);
    assert.notEqual(again.spec.bmc?.address, before.spec.bmc?.address);
    await end();
  });

  test('what does not fit is refused before anything starts', async () => {
    const uefi = await runCaptured(['dev', 'machines', '--firmware', 'UEFI'], { env });
    assert.equal(uefi.code, 2);
    assert.match(uefi.stderr, /--bridge/);
    await hub.client.create<Site>(sites, {
      apiVersion: 'selvedge.dev/v1alpha1',
      kind: 'Site',
      metadata: { name: 'plain' },
    });
    const plain = await runCaptured(['dev', 'machines', '--site', 'plain'], { env });
    assert.equal(plain.code, 1);
    assert.match(plain.stderr, /spec\.rack/);
  });
});
