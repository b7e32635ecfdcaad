import assert from 'node:assert/strict';
import { cpSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { serviceAccounts } from '@selvedge/api';
import { requireTool, startTestPostgres } from '@selvedge/testkit';
import { AuthenticationLab, send } from './testing/authentication-lab.ts';

const boss = { name: 'boss', groups: ['system:masters'] };
const robot = { namespace: 'default', name: 'robot' };

test(
  'a token of one hub is good at another on the same database, and void there too once its account is deleted',
  requireTool('postgres', 'initdb', 'psql'),
  async (t) => {
    const postgres = await startTestPostgres();
    t.after(() => postgres.remove());
    const { url } = await postgres.createDatabase();
    const [one, two] = [new AuthenticationLab(t), new AuthenticationLab(t)];
    const options = { store: url, serviceAccountIssuer: ['https://hub.example'] };
    await one.start(options);
    cpSync(join(one.data, 'keys'), join(two.data, 'keys'), { recursive: true });
    await two.start(options);
    await one.hub.client.create(serviceAccounts, {
      apiVersion: 'v1',
      kind: 'ServiceAccount',
      metadata: robot,
    });
    const admin = two.connect(await two.newClientCertificate(two.ownAuthority, boss));
    const path = '/api/v1/namespaces/default/serviceaccounts/robot/token';
    const { body } = await send(admin, { path, body: {} });
    const { token } = body['status'] as { token: string };
    for (const lab of [one, two]) assert.equal((await lab.whoIs(token)).status, 201);
    await one.hub.client.delete(serviceAccounts, robot);
    for (const lab of [two, one]) assert.equal((await lab.whoIs(token)).status, 401);
    // Hubs end before their database.
    await one.stop();
    await two.stop();
  },
);
