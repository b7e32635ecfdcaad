import assert from 'node:assert/strict';
import { chmodSync, existsSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { namespaces, type Secret, secrets, serviceAccounts } from '@selvedge/api';
import { createLogger } from '@selvedge/api/node';
import { startOidcIssuer } from '@selvedge/testkit';
import { createRemoteJWKSet, customFetch, decodeJwt, jwtVerify } from 'jose';
import { HubCertificates } from '../identity/certificates.ts';
import { DataDirectoryError } from '../identity/private-file.ts';
import { AuthenticationLab, eventually, send, userOf } from './testing/authentication-lab.ts';

const boss = { name: 'boss', groups: ['system:masters'] };

/** A session of an administrator, and a token for the ServiceAccount `default/robot`. */
async function startWithAccount(lab: AuthenticationLab) {
  await lab.start();
  const admin = lab.connect(await lab.newClientCertificate(lab.ownAuthority, boss));
  await lab.hub.client.create(serviceAccounts, {
    apiVersion: 'v1',
    kind: 'ServiceAccount',
    metadata: { name: 'robot', namespace: 'default' },
  });
  const request = async (spec: object = {}) => {
    const path = '/api/v1/namespaces/default/serviceaccounts/robot/token';
    const { body } = await send(admin, { path, body: { spec } });
    return (body['status'] as { token: string }).token;
  };
  return { admin, request };
}

describe('who the hub knows', () => {
  test('a token of a ServiceAccount, until the account is deleted', async (t) => {
    const lab = new AuthenticationLab(t);
    const { request } = await startWithAccount(lab);
    const token = await request();
    const session = lab.connect();
    assert.deepEqual(userOf(await lab.whoAmI(session, token)).groups, [
      'system:serviceaccounts',
      'system:serviceaccounts:default',
      'system:authenticated',
    ]);
    const { status, body } = await send(session, { path: '/api/v1/namespaces/default/secrets', token });
    assert.equal(status, 403);
    assert.match(body.message, /"system:serviceaccount:default:robot" cannot list/);
    await lab.hub.client.delete(serviceAccounts, { namespace: 'default', name: 'robot' });
    assert.equal((await lab.whoAmI(session, token)).status, 401);
  });

  test('a token that is bound to a Secret, until that is deleted', async (t) => {
    const lab = new AuthenticationLab(t);
    const { request } = await startWithAccount(lab);
    await lab.hub.client.create(secrets, {
      apiVersion: 'v1',
      kind: 'Secret',
      metadata: { name: 'bound', namespace: 'default' },
    });
    const token = await request({ boundObjectRef: { kind: 'Secret', apiVersion: 'v1', name: 'bound' } });
    assert.equal((await lab.whoIs(token)).status, 201);
    await lab.hub.client.delete(secrets, { namespace: 'default', name: 'bound' });
    assert.match((await lab.whoIs(token)).body.message, /Secret "bound"/);
  });

  test('others verify tokens by the discovery documents, which anybody may read', async (t) => {
    const lab = new AuthenticationLab(t);
    const { request } = await startWithAccount(lab);
    const token = await request({ audiences: ['vault'] });
    const nobody = lab.connect();
    const discovery = await send(nobody, { path: '/.well-known/openid-configuration' });
    assert.equal(discovery.status, 200);
    assert.equal(discovery.body['issuer'], decodeJwt(token).iss);
    const keySet = await send(nobody, { path: '/openid/v1/jwks' });
    const keys = createRemoteJWKSet(new URL(String(discovery.body['jwks_uri'])), {
      [customFetch]: async () => Response.json(keySet.body),
    });
    const { payload } = await jwtVerify(token, keys, { audience: 'vault' });
    assert.equal(payload.sub, 'system:serviceaccount:default:robot');
  });

  test('tokens live through a restart, and through a new key that comes while the hub runs', async (t) => {
    const lab = new AuthenticationLab(t);
    const before = await startWithAccount(lab);
    // A port that stays: it is part of the issuer.
    const listen = `127.0.0.1:${lab.hub.port}`;
    const token = await before.request();
    await lab.stop();
    await lab.start({ listen });
    assert.equal((await lab.whoIs(token)).status, 201);
    const logger = createLogger({ level: 'silent' });
    const certificates = new HubCertificates({ dataDirectory: lab.data, clock: lab.clock, logger });
    await certificates.renew('service-account');
    await eventually(async () => {
      const { body } = await send(lab.connect(), { path: '/openid/v1/jwks' });
      return (body['keys'] as unknown[]).length === 2;
    });
    assert.equal((await lab.whoIs(token)).status, 201);
    rmSync(join(lab.data, 'keys', 'service-account.key'));
    await eventually(async () => (await lab.whoIs(token)).status === 401);
  });

  test('TokenReview tells whose a token is and for whom, and does not repeat it', async (t) => {
    const lab = new AuthenticationLab(t);
    const { admin, request } = await startWithAccount(lab);
    const review = async (spec: object) => {
      const path = '/apis/authentication.k8s.io/v1/tokenreviews';
      const kind = { apiVersion: 'authentication.k8s.io/v1', kind: 'TokenReview' };
      return (await send(admin, { path, body: { ...kind, spec } })).body;
    };
    const statusOf = async (spec: object) => (await review(spec))['status'] as Record<string, unknown>;
    const token = await request({ audiences: ['vault', 'store'] });
    const asked = await review({ token, audiences: ['other', 'store', 'vault'] });
    const status = asked['status'] as {
      authenticated: boolean;
      user: { username: string };
      audiences: string[];
    };
    assert.equal(status.authenticated, true);
    assert.equal(status.user.username, 'system:serviceaccount:default:robot');
    assert.deepEqual(status.audiences, ['store', 'vault']);
    assert.ok(!JSON.stringify(asked).includes(token));
    assert.equal((await statusOf({ token }))['authenticated'], false, 'it is not for this API');
    const refused = await statusOf({ token: `${token.slice(0, -4)}AAAA`, audiences: ['vault'] });
    assert.equal(refused['authenticated'], false);
    assert.match(String(refused['error']), /signature/);
    assert.equal((await statusOf({ token: 'nonsense' }))['authenticated'], false);
    assert.match((await review({})).message, /token is required/);
  });

  test('a Secret of the type for tokens is filled with one that does not expire, and goes with its account', async (t) => {
    const lab = new AuthenticationLab(t);
    await startWithAccount(lab);
    const { client } = lab.hub;
    const name = { namespace: 'default', name: 'robot-token' };
    const make = (account: string) =>
      client.create(secrets, {
        apiVersion: 'v1',
        kind: 'Secret',
        type: 'kubernetes.io/service-account-token',
        metadata: { ...name, annotations: { 'kubernetes.io/service-account.name': account } },
      });
    const filled = () =>
      eventually(async () => {
        const secret = await client.find<Secret>(secrets, name);
        return secret?.data?.['token'] === undefined ? undefined : secret.data;
      });
    const decode = (text = '') => Buffer.from(text, 'base64').toString();
    await make('robot');
    const data = await filled();
    const token = decode(data['token']);
    assert.equal(decodeJwt(token).exp, undefined);
    assert.equal(decode(data['namespace']), 'default');
    assert.match(decode(data['ca.crt']), /BEGIN CERTIFICATE/);
    assert.equal((await lab.whoIs(token)).status, 201);

    await client.mergePatch(secrets, name, { data: { token: null } });
    const next = await eventually(async () => {
      const found = (await client.find<Secret>(secrets, name))?.data?.['token'];
      return found !== undefined && found !== data['token'] && decode(found);
    });
    assert.equal((await lab.whoIs(token)).status, 401, 'the one that was taken out is void');
    assert.equal((await lab.whoIs(next)).status, 201);

    await client.delete(serviceAccounts, { namespace: 'default', name: 'robot' });
    await eventually(async () => (await client.find(secrets, name)) === undefined);
    await make('later');
    await client.create(serviceAccounts, {
      apiVersion: 'v1',
      kind: 'ServiceAccount',
      metadata: { namespace: 'default', name: 'later' },
    });
    assert.match(userOf(await lab.whoIs(decode((await filled())['token']))).username, /:later$/);
  });

  test('every namespace gets a ServiceAccount `default`, also again', async (t) => {
    const lab = new AuthenticationLab(t);
    const { client } = await lab.start();
    const find = (namespace: string) => client.find(serviceAccounts, { namespace, name: 'default' });
    const first = await eventually(() => find('default'));
    await client.create(namespaces, { apiVersion: 'v1', kind: 'Namespace', metadata: { name: 'shop' } });
    await eventually(() => find('shop'));
    await client.delete(serviceAccounts, { namespace: 'default', name: 'default' });
    const second = await eventually(() => find('default'));
    assert.notEqual(second.metadata.uid, first.metadata.uid);
    await client.delete(namespaces, { name: 'shop' });
    await eventually(async () => (await client.find(namespaces, { name: 'shop' })) === undefined);
    assert.equal(await find('shop'), undefined);
  });
});

describe('the bootstrap token', () => {
  test('is off unless asked for; switched on it makes an administrator, switched off it is gone', async (t) => {
    const lab = new AuthenticationLab(t);
    const path = join(lab.data, 'bootstrap-token');
    await lab.start();
    assert.ok(!existsSync(path));
    await lab.stop();
    await lab.start({ bootstrapToken: 'on' });
    assert.equal(statSync(path).mode & 0o777, 0o600);
    const token = readFileSync(path, 'utf8').trim();
    assert.ok(token.length >= 43);
    assert.ok(userOf(await lab.whoIs(token)).groups.includes('system:masters'));
    assert.equal((await lab.whoIs(`${token}x`)).status, 401);
    assert.equal((await lab.whoIs(token.slice(1))).status, 401);
    assert.ok(!JSON.stringify(lab.lines).includes(token));
    await lab.stop();
    await lab.start({ bootstrapToken: 'off' });
    assert.ok(!existsSync(path));
    assert.equal((await lab.whoIs(token)).status, 401);
  });

  test('is replaced by deleting its file, or writing another into it', async (t) => {
    const lab = new AuthenticationLab(t);
    const path = join(lab.data, 'bootstrap-token');
    await lab.start({ bootstrapToken: 'on' });
    const first = readFileSync(path, 'utf8').trim();
    rmSync(path);
    const second = await eventually(async () => existsSync(path) && readFileSync(path, 'utf8').trim());
    assert.notEqual(second, first);
    await eventually(async () => (await lab.whoIs(first)).status === 401);
    assert.equal((await lab.whoIs(second)).status, 201);
    const own = 'a'.repeat(40);
    writeFileSync(path, own);
    await eventually(async () => (await lab.whoIs(own)).status === 201);
    writeFileSync(path, '');
    await eventually(async () => (await lab.whoIs(own)).status === 401);
  });

  test('a file that others can read, or a token that is easy to guess, keeps the hub from starting', async (t) => {
    const lab = new AuthenticationLab(t);
    const path = join(lab.data, 'bootstrap-token');
    await lab.start({ bootstrapToken: 'on' });
    await lab.stop();
    const refuses = (message: RegExp) =>
      assert.rejects(
        lab.start({ bootstrapToken: 'on' }),
        (e) => e instanceof DataDirectoryError && message.test(e.message),
      );
    chmodSync(path, 0o644);
    await refuses(/chmod 600/);
    chmodSync(path, 0o600);
    writeFileSync(path, 'secret');
    await refuses(/at least 32 printable characters/);
  });
});

describe('OIDC issuers of a hub', () => {
  test('by flags: users have the issuer as prefix', async (t) => {
    const lab = new AuthenticationLab(t);
    const issuer = await startOidcIssuer();
    t.after(() => issuer.close());
    writeFileSync(lab.file('issuer.crt'), issuer.caCertificate);
    await lab.start({
      oidcIssuerUrl: issuer.url,
      oidcClientId: 'selvedge',
      oidcGroupsClaim: 'groups',
      oidcCaFile: lab.file('issuer.crt'),
    });
    const answer = await lab.whoIs(await issuer.token({ sub: 'alice', aud: 'selvedge', groups: ['dev'] }));
    assert.deepEqual(userOf(answer).username, `${issuer.url}#alice`);
    assert.deepEqual(userOf(answer).groups, ['dev', 'system:authenticated']);
    const wrong = await lab.whoIs(await issuer.token({ sub: 'alice', aud: 'other' }));
    assert.equal(wrong.status, 401);
  });

  test('by a file, which is read again when it changes; a broken one changes nothing', async (t) => {
    const lab = new AuthenticationLab(t);
    const issuer = await startOidcIssuer();
    t.after(() => issuer.close());
    const path = lab.file('authentication.yaml');
    const write = (prefix: string) =>
      writeFileSync(
        path,
        JSON.stringify({
          apiVersion: 'apiserver.config.k8s.io/v1',
          kind: 'AuthenticationConfiguration',
          jwt: [
            {
              issuer: {
                url: issuer.url,
                certificateAuthority: issuer.caCertificate,
                audiences: ['selvedge'],
              },
              claimMappings: { username: { claim: 'sub', prefix } },
            },
          ],
        }),
      );
    write('one:');
    await lab.start({ authenticationConfig: path });
    const token = await issuer.token({ sub: 'alice', aud: 'selvedge' });
    const name = async () => userOf(await lab.whoIs(token)).username;
    assert.equal(await name(), 'one:alice');
    writeFileSync(path, 'jwt: {');
    await eventually(async () =>
      lab.lines.some(({ reason }) => /authentication\.yaml: /.test(String(reason))),
    );
    assert.equal(await name(), 'one:alice');
    write('two:');
    await eventually(async () => (await name()) === 'two:alice');
  });
});
