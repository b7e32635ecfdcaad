import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { connect, createServer, type TLSSocket } from 'node:tls';
import { isStatusError } from '@selvedge/api';
import { systemClock } from '@selvedge/api/node';
import { requireTool } from '@selvedge/testkit';
import { authenticate } from './authenticate.ts';
import type { Authenticator } from './authenticator.ts';
import { forThisApi } from './for-this-api.ts';
import { PeerUsers } from './peer-user.ts';
import { staticTokenAuthenticator } from './static-token-authenticator.ts';
import { unauthorized } from './unauthorized.ts';

const boss = { name: 'boss', groups: ['system:masters'] };
const refuses = (promise: Promise<unknown>, message: RegExp) =>
  assert.rejects(promise, (error) => isStatusError(error, 'Unauthorized') && message.test(error.message));

describe('authentication', () => {
  const knows = (token: string, name: string): Authenticator =>
    staticTokenAuthenticator({ token: () => token, user: { name, groups: [] } });

  test('the first that knows a credential says whose it is; a certificate comes before a token', async () => {
    const authenticators = [knows('a', 'ann'), knows('b', 'bob'), knows('a', 'late')];
    const name = async (credentials: Parameters<typeof authenticate>[1]) =>
      (await authenticate(authenticators, credentials))?.name;
    assert.equal(await name({ bearerToken: 'a' }), 'ann');
    assert.equal(await name({ bearerToken: 'b' }), 'bob');
    assert.equal(await name({ bearerToken: 'b', certificateUser: boss }), 'boss');
    assert.equal(await name({}), undefined);
    await refuses(authenticate(authenticators, { bearerToken: 'c' }), /not known/);
  });

  test('everybody who is known is in system:authenticated, once', async () => {
    const groups = async (user: typeof boss) => (await authenticate([], { certificateUser: user }))?.groups;
    assert.deepEqual(await groups(boss), ['system:masters', 'system:authenticated']);
    assert.deepEqual(await groups({ ...boss, groups: ['system:authenticated'] }), ['system:authenticated']);
  });

  test('a refusal is not overruled by those behind it', async () => {
    const refusing: Authenticator = {
      authenticate: async () => {
        throw unauthorized('expired');
      },
    };
    await refuses(authenticate([refusing, knows('a', 'ann')], { bearerToken: 'a' }), /expired/);
  });

  test('a static token may change, and may be gone', async () => {
    let token: string | undefined = 'one';
    const authenticator = staticTokenAuthenticator({ token: () => token, user: boss });
    const isKnown = async (bearerToken: string) =>
      (await authenticator.authenticate({ bearerToken })) !== undefined;
    assert.ok(await isKnown('one'));
    assert.ok(!(await isKnown('')));
    token = 'two';
    assert.ok(!(await isKnown('one')));
    assert.ok(await isKnown('two'));
    token = undefined;
    assert.ok(!(await isKnown('two')));
    assert.ok(!(await isKnown('undefined')));
  });

  test('a token without audiences is meant for this API only', async () => {
    const authenticator = forThisApi(knows('a', 'ann'), () => ['hub']);
    assert.ok(await authenticator.authenticate({ bearerToken: 'a' }));
    assert.ok(await authenticator.authenticate({ bearerToken: 'a', audiences: ['x', 'hub'] }));
    await refuses(authenticator.authenticate({ bearerToken: 'a', audiences: ['vault'] }), /audience/);
    assert.equal(await authenticator.authenticate({ bearerToken: 'b', audiences: ['vault'] }), undefined);
  });
});

test('a client certificate names user, groups and uid', requireTool('openssl'), async (t) => {
  const directory = mkdtempSync(join(tmpdir(), 'selvedge-peer-'));
  t.after(() => rmSync(directory, { recursive: true }));
  const openssl = (...args: string[]) => execFileSync('openssl', args, { cwd: directory, stdio: 'pipe' });
  const newKey = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes'];
  writeFileSync(
    join(directory, 'user.cnf'),
    `oid_section = oids
[oids]
kubernetesUid = 1.3.6.1.4.1.57683.2
[req]
distinguished_name = name
prompt = no
[name]
0.O = dev
1.O = ops
CN = joe
kubernetesUid = uid-77
`,
  );
  openssl('req', '-x509', ...newKey, '-keyout', 'ca.key', '-out', 'ca.crt', '-days', '2', '-subj', '/CN=ca');
  openssl('req', '-config', 'user.cnf', ...newKey, '-keyout', 'user.key', '-out', 'user.csr');
  const signing = ['-CA', 'ca.crt', '-CAkey', 'ca.key', '-CAcreateserial', '-days', '2'];
  openssl('x509', '-req', '-in', 'user.csr', '-out', 'user.crt', ...signing);
  const file = (name: string) => readFileSync(join(directory, name), 'utf8');

  const ca = file('ca.crt');
  const server = createServer({
    key: file('ca.key'),
    cert: ca,
    ca,
    requestCert: true,
    rejectUnauthorized: false,
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  t.after(() => server.close());
  const { port } = server.address() as AddressInfo;
  const identity = { key: file('user.key'), cert: file('user.crt') };
  const client = connect({ host: '127.0.0.1', port, rejectUnauthorized: false, ...identity });
  t.after(() => client.destroy());
  client.on('error', () => {});
  const [socket] = (await once(server, 'secureConnection')) as [TLSSocket];
  const peers = new PeerUsers({ authorities: ca, clock: systemClock });
  const user = peers.find(socket, socket);
  assert.equal(user?.name, 'joe');
  assert.equal(user?.uid, 'uid-77');
  assert.deepEqual(user?.groups, ['dev', 'ops']);
  assert.equal(peers.find(socket, socket), user, 'it is read once for a connection');
});
