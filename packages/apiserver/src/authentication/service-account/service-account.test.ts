import assert from 'node:assert/strict';
import { createPublicKey, generateKeyPairSync, type KeyObject } from 'node:crypto';
import { describe, test } from 'node:test';
import { isStatusError, type KubeObject } from '@selvedge/api';
import { decodeJwt, decodeProtectedHeader, type JWTPayload, SignJWT, UnsecuredJWT } from 'jose';
import { AccountLab } from '../testing/account-lab.ts';
import { jsonWebKeySet, parseSigningKeys, withNewSigningKey } from './signing-keys.ts';

const refuses = (promise: Promise<unknown>, message: RegExp) =>
  assert.rejects(promise, (error) => isStatusError(error, 'Unauthorized') && message.test(error.message));
const specOf = (object: KubeObject) => object['spec'] as Record<string, unknown>;

describe('tokens of service accounts', () => {
  test('a token stands for the user that Kubernetes would name, until it expires', async (t) => {
    const lab = await AccountLab.start(t);
    const account = await lab.make('serviceaccounts', 'till', 'uid-1');
    const answer = await lab.request(account, { expirationSeconds: 600 });
    assert.deepEqual(answer.metadata, {
      name: 'till',
      namespace: 'shop',
      creationTimestamp: '2026-03-01T00:00:00Z',
    });
    assert.deepEqual(specOf(answer), { audiences: ['https://hub.example:6480'], expirationSeconds: 600 });
    const { token, expirationTimestamp } = answer['status'] as { token: string; expirationTimestamp: string };
    assert.equal(expirationTimestamp, '2026-03-01T00:10:00Z');
    const { jti } = decodeJwt(token);
    assert.deepEqual(await lab.authenticator.authenticate({ bearerToken: token }), {
      name: 'system:serviceaccount:shop:till',
      uid: 'uid-1',
      groups: ['system:serviceaccounts', 'system:serviceaccounts:shop'],
      extra: { 'authentication.kubernetes.io/credential-id': [`JTI=${jti}`] },
    });
    lab.clock.setTime('2026-03-01T00:10:06.000Z');
    await refuses(lab.authenticator.authenticate({ bearerToken: token }), /expired/);
  });

  test('the claims are those of Kubernetes', async (t) => {
    const lab = await AccountLab.start(t);
    const account = await lab.make('serviceaccounts', 'till', 'uid-1');
    await lab.make('secrets', 'bound', 'uid-2');
    const token = await lab.token(account, {
      audiences: ['vault'],
      boundObjectRef: { kind: 'Secret', apiVersion: 'v1', name: 'bound' },
    });
    const { jti, ...claims } = decodeJwt(token);
    const now = Date.parse('2026-03-01T00:00:00Z') / 1000;
    assert.match(String(jti), /^[0-9a-f-]{36}$/);
    assert.deepEqual(claims, {
      iss: 'https://hub.example:6480',
      aud: ['vault'],
      iat: now,
      nbf: now,
      exp: now + 3600,
      sub: 'system:serviceaccount:shop:till',
      'kubernetes.io': {
        namespace: 'shop',
        serviceaccount: { name: 'till', uid: 'uid-1' },
        secret: { name: 'bound', uid: 'uid-2' },
      },
    });
    assert.deepEqual(decodeProtectedHeader(token), { alg: 'ES256', kid: lab.keys.active.id });
  });

  test('a deleted ServiceAccount, or one made again under its name, is refused at once', async (t) => {
    const lab = await AccountLab.start(t);
    const bearerToken = await lab.token(await lab.make('serviceaccounts', 'till', 'uid-1'));
    assert.ok(await lab.authenticator.authenticate({ bearerToken }));
    await lab.remove('serviceaccounts', 'till');
    await refuses(lab.authenticator.authenticate({ bearerToken }), /ServiceAccount "till".*not there/);
    await lab.make('serviceaccounts', 'till', 'uid-2');
    await refuses(lab.authenticator.authenticate({ bearerToken }), /ServiceAccount "till".*not there/);
  });

  test('one that is being deleted is refused, one that was changed is not', async (t) => {
    const lab = await AccountLab.start(t);
    const account = await lab.make('serviceaccounts', 'till', 'uid-1');
    const bearerToken = await lab.token(account);
    const key = { resource: 'serviceaccounts', namespace: 'shop', name: 'till' };
    const change = async (metadata: object) => {
      const found = await lab.store.objects.find(key);
      const body = JSON.stringify({ ...account, metadata: { ...account.metadata, ...metadata } });
      await lab.store.objects.update(key, body, found?.revision ?? 0);
    };
    await change({ labels: { a: 'b' } });
    assert.ok(await lab.authenticator.authenticate({ bearerToken }));
    await change({ deletionTimestamp: '2026-03-01T00:00:00Z' });
    await refuses(lab.authenticator.authenticate({ bearerToken }), /not there/);
  });

  test('a token that is bound to a Secret ends with it', async (t) => {
    const lab = await AccountLab.start(t);
    const account = await lab.make('serviceaccounts', 'till', 'uid-1');
    await lab.make('secrets', 'bound', 'uid-2');
    const bearerToken = await lab.token(account, {
      boundObjectRef: { kind: 'Secret', apiVersion: 'v1', name: 'bound', uid: 'uid-2' },
    });
    assert.ok(await lab.authenticator.authenticate({ bearerToken }));
    await lab.remove('secrets', 'bound');
    await refuses(lab.authenticator.authenticate({ bearerToken }), /Secret "bound".*not there/);
  });

  test('a token that does not expire counts as long as its Secret holds it', async (t) => {
    const lab = await AccountLab.start(t);
    const account = await lab.make('serviceaccounts', 'till', 'uid-1');
    const secret = await lab.make('secrets', 'held', 'uid-2');
    const bearerToken = await lab.lastingToken(account, { name: 'held', uid: 'uid-2' });
    assert.equal(decodeJwt(bearerToken).exp, undefined);
    const hold = async (token: string) => {
      const key = { resource: 'secrets', namespace: 'shop', name: 'held' };
      const found = await lab.store.objects.find(key);
      const body = JSON.stringify({ ...secret, data: { token: Buffer.from(token).toString('base64') } });
      await lab.store.objects.update(key, body, found?.revision ?? 0);
    };
    await refuses(lab.authenticator.authenticate({ bearerToken }), /Secret "held"/);
    await hold(bearerToken);
    lab.clock.setTime('2036-03-01T00:00:00.000Z');
    assert.ok(await lab.authenticator.authenticate({ bearerToken }));
    await hold('another');
    await refuses(lab.authenticator.authenticate({ bearerToken }), /Secret "held"/);
  });

  test('what can be asked for has limits, each told with its field', async (t) => {
    const lab = await AccountLab.start(t);
    const account = await lab.make('serviceaccounts', 'till', 'uid-1');
    const invalid = (spec: unknown, field: string) =>
      assert.rejects(
        lab.request(account, spec),
        (error) => isStatusError(error, 'Invalid') && error.details.causes?.[0]?.field === field,
      );
    await invalid({ expirationSeconds: 599 }, 'spec.expirationSeconds');
    await invalid({ expirationSeconds: 2 ** 33 }, 'spec.expirationSeconds');
    await invalid({ expirationSeconds: 'long' }, 'spec.expirationSeconds');
    await invalid({ audiences: 'vault' }, 'spec.audiences');
    await invalid({ audiences: [''] }, 'spec.audiences');
    await invalid({ boundObjectRef: 'x' }, 'spec.boundObjectRef');
    await invalid({ boundObjectRef: { kind: 'Secret', apiVersion: 'v1' } }, 'spec.boundObjectRef.name');
    const century = await lab.request(account, { expirationSeconds: 100 * 365 * 86_400 });
    assert.equal(specOf(century)['expirationSeconds'], 365 * 86_400, 'longer wishes get a year');
    assert.equal(specOf(await lab.request(account, {}))['expirationSeconds'], 3600);
    const fromGo = { audiences: null, expirationSeconds: null, boundObjectRef: null };
    assert.equal(specOf(await lab.request(account, fromGo))['expirationSeconds'], 3600);
  });

  test('only what is there can be bound to, and only Secrets', async (t) => {
    const lab = await AccountLab.start(t);
    const account = await lab.make('serviceaccounts', 'till', 'uid-1');
    await lab.make('secrets', 'bound', 'uid-2');
    const bind = (boundObjectRef: object) => lab.request(account, { boundObjectRef });
    const secret = { kind: 'Secret', apiVersion: 'v1', name: 'bound' };
    await assert.rejects(bind({ ...secret, name: 'other' }), { reason: 'NotFound' });
    await assert.rejects(bind({ ...secret, uid: 'uid-3' }), { reason: 'Conflict' });
    await assert.rejects(bind({ ...secret, kind: 'Pod' }), {
      reason: 'BadRequest',
      message: /v1 Pod.*Secret/,
    });
  });

  test('a body of another kind, or for another object, is refused', async (t) => {
    const lab = await AccountLab.start(t);
    const account = await lab.make('serviceaccounts', 'till', 'uid-1');
    const bad = (body: unknown) => assert.rejects(lab.send(account, body), { reason: 'BadRequest' });
    await bad([]);
    await bad({ kind: 'TokenReview' });
    await bad({ apiVersion: 'authentication.k8s.io/v2' });
    await bad({ metadata: { name: 'other' } });
    await bad({ metadata: { namespace: 'other' } });
    assert.ok(await lab.send(account, {}), 'an empty one asks for the usual');
  });

  test('a dry run makes no token', async (t) => {
    const lab = await AccountLab.start(t);
    const account = await lab.make('serviceaccounts', 'till', 'uid-1');
    assert.equal(((await lab.request(account, {}, true))['status'] as { token: string }).token, '');
  });

  test('a token for another audience is refused here and good there', async (t) => {
    const lab = await AccountLab.start(t);
    const account = await lab.make('serviceaccounts', 'till', 'uid-1');
    const bearerToken = await lab.token(account, { audiences: ['vault', 'other'] });
    await refuses(lab.authenticator.authenticate({ bearerToken }), /audience/);
    assert.ok(await lab.authenticator.authenticate({ bearerToken, audiences: ['vault'] }));
    await refuses(lab.authenticator.authenticate({ bearerToken, audiences: ['hub'] }), /audience/);
  });

  test('what nobody here has issued is left to the next authenticator', async (t) => {
    const lab = await AccountLab.start(t);
    for (const bearerToken of ['', 'x', 'a.b.c', `${'x'.repeat(70_000)}.y.z`]) {
      assert.equal(await lab.authenticator.authenticate({ bearerToken }), undefined);
    }
    assert.equal(await lab.authenticator.authenticate({}), undefined);
    const foreign = new UnsecuredJWT({ iss: 'https://elsewhere.example' }).encode();
    assert.equal(await lab.authenticator.authenticate({ bearerToken: foreign }), undefined);
  });

  test('issuers that are listed behind the first are still taken', async (t) => {
    const lab = await AccountLab.start(t);
    const account = await lab.make('serviceaccounts', 'till', 'uid-1');
    const bearerToken = await lab.token(account);
    lab.issuers.unshift('https://new.example');
    assert.ok(await lab.authenticator.authenticate({ bearerToken }));
    assert.equal(decodeJwt(await lab.token(account)).iss, 'https://new.example');
    lab.issuers.pop();
    await refuses(lab.authenticator.authenticate({ bearerToken }), /audience/);
  });

  test('a known token costs one look into the store, and no reading while nothing changed', async (t) => {
    const lab = await AccountLab.start(t);
    const bearerToken = await lab.token(await lab.make('serviceaccounts', 'till', 'uid-1'));
    await lab.authenticator.authenticate({ bearerToken });
    const before = lab.lookUps;
    for (let i = 0; i < 10; i++) await lab.authenticator.authenticate({ bearerToken });
    assert.equal(lab.lookUps - before, 10);
  });
});

describe('forged tokens', () => {
  async function forge(t: Parameters<typeof AccountLab.start>[0]) {
    const lab = await AccountLab.start(t);
    const good = await lab.token(await lab.make('serviceaccounts', 'till', 'uid-1'));
    const claims = decodeJwt(good);
    const header = { alg: 'ES256', kid: lab.keys.active.id };
    const sign = (payload: JWTPayload, key: KeyObject | Uint8Array, over: object = {}) =>
      new SignJWT(payload).setProtectedHeader({ ...header, ...over }).sign(key);
    const check = (bearerToken: string) => lab.authenticator.authenticate({ bearerToken });
    return { lab, good, claims, sign, check, own: lab.keys.active.privateKey };
  }

  test('by no signature at all, or without a part of it', async (t) => {
    const { good, claims, check } = await forge(t);
    await refuses(check(new UnsecuredJWT(claims).encode()), /not accepted|signature/);
    const [header, payload, signature = ''] = good.split('.');
    await refuses(check(`${header}.${payload}.`), /signature/);
    await refuses(check(`${header}.${payload}.${signature.slice(2)}`), /signature/);
    const none = Buffer.from('{"alg":"none"}').toString('base64url');
    await refuses(check(`${none}.${payload}.`), /not accepted|signature/);
  });

  test('by the public key as a shared secret (algorithm confusion)', async (t) => {
    const { claims, sign, check, own } = await forge(t);
    const publicKey = createPublicKey(own);
    const spellings = [
      publicKey.export({ type: 'spki', format: 'pem' }),
      publicKey.export({ type: 'spki', format: 'der' }),
      JSON.stringify(publicKey.export({ format: 'jwk' })),
    ];
    for (const text of spellings) {
      await refuses(check(await sign(claims, Buffer.from(text), { alg: 'HS256' })), /not accepted/);
    }
  });

  test('by another key, with our key id, one of its own, or none', async (t) => {
    const { claims, sign, check } = await forge(t);
    const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
    await refuses(check(await sign(claims, privateKey)), /signature/);
    await refuses(
      check(await sign(claims, privateKey, { kid: 'theirs' })),
      /key that its issuer does not have/,
    );
    await refuses(check(await sign(claims, privateKey, { kid: undefined })), /key that its issuer/);
    const rsa = generateKeyPairSync('rsa', { modulusLength: 2048 }).privateKey;
    await refuses(check(await sign(claims, rsa, { alg: 'RS256' })), /not accepted/);
  });

  test('by another text under a good signature', async (t) => {
    const { good, claims, check } = await forge(t);
    const [header, , signature] = good.split('.');
    const payload = Buffer.from(JSON.stringify({ ...claims, sub: 'system:serviceaccount:shop:boss' }));
    await refuses(check(`${header}.${payload.toString('base64url')}.${signature}`), /signature/);
  });

  test('by our own key, with claims that are not those of a token', async (t) => {
    const { claims, sign, check, own } = await forge(t);
    const now = claims.iat ?? 0;
    const without = ({ ...rest }: JWTPayload, claim: string) => (delete rest[claim], rest);
    await refuses(check(await sign(without(claims, 'exp'), own)), /not one of a ServiceAccount/);
    for (const claim of ['iat', 'jti', 'sub', 'aud']) {
      await refuses(check(await sign(without(claims, claim), own)), new RegExp(`"${claim}"|audience`));
    }
    await refuses(check(await sign({ ...claims, nbf: now + 3600 }, own)), /not valid yet/);
    await refuses(check(await sign({ ...claims, exp: now - 3600 }, own)), /expired/);
    const others: JWTPayload[] = [
      { ...claims, sub: 'system:serviceaccount:shop:boss' },
      { ...claims, 'kubernetes.io': { namespace: 'shop' } },
      { ...claims, 'kubernetes.io': { namespace: 'shop', serviceaccount: { name: 'till' } } },
      { ...claims, 'kubernetes.io': { ...(claims['kubernetes.io'] as object), secret: 'x' } },
      without(claims, 'kubernetes.io'),
    ];
    for (const other of others) await refuses(check(await sign(other, own)), /not one of a ServiceAccount/);
  });
});

describe('keys of service accounts', () => {
  test('a new key signs, the old ones verify, and one that is taken away takes its tokens with it', async (t) => {
    const lab = await AccountLab.start(t);
    const account = await lab.make('serviceaccounts', 'till', 'uid-1');
    const old = await lab.token(account);
    assert.ok(await lab.authenticator.authenticate({ bearerToken: old }));
    lab.keyFile = withNewSigningKey(lab.keyFile);
    assert.doesNotMatch(lab.keyFile.slice(lab.keyFile.indexOf('PUBLIC')), /PRIVATE/);
    assert.ok(await lab.authenticator.authenticate({ bearerToken: old }));
    const recent = await lab.token(account);
    assert.notEqual(decodeProtectedHeader(recent).kid, decodeProtectedHeader(old).kid);
    assert.equal(jsonWebKeySet(lab.keys).keys.length, 2);
    lab.keyFile = withNewSigningKey('');
    await refuses(lab.authenticator.authenticate({ bearerToken: old }), /key/);
    await refuses(lab.authenticator.authenticate({ bearerToken: recent }), /key/);
  });

  test('a key set shows no private half', () => {
    const { keys } = jsonWebKeySet(parseSigningKeys(withNewSigningKey('')));
    assert.deepEqual(Object.keys(keys[0] ?? {}).sort(), ['alg', 'crv', 'kid', 'kty', 'use', 'x', 'y']);
  });

  test('rubbish and other kinds of keys are refused', () => {
    const ed25519 = generateKeyPairSync('ed25519').privateKey.export({ type: 'pkcs8', format: 'pem' });
    assert.throws(() => parseSigningKeys(''), /no key/);
    assert.throws(() => parseSigningKeys(String(ed25519)), /EC P-256/);
    const publicOnly = createPublicKey(parseSigningKeys(withNewSigningKey('')).active.privateKey);
    assert.throws(() => parseSigningKeys(String(publicOnly.export({ type: 'spki', format: 'pem' }))));
  });
});
