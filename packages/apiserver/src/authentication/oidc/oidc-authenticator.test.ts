import assert from 'node:assert/strict';
import { describe, test, type TestContext } from 'node:test';
import { type Clock, isStatusError } from '@selvedge/api';
import { createLogger, systemClock } from '@selvedge/api/node';
import { startOidcIssuer } from '@selvedge/testkit';
import { UnsecuredJWT } from 'jose';
import { OidcAuthenticator } from './oidc-authenticator.ts';
import type { OidcIssuer } from './oidc-issuer.ts';

const refuses = (promise: Promise<unknown>, message: RegExp) =>
  assert.rejects(promise, (error) => isStatusError(error, 'Unauthorized') && message.test(error.message));

/** The machine's clock, moved by an offset: issuers live in true time. */
class ShiftedClock implements Clock {
  offsetMilliseconds = 0;
  now = () => new Date(systemClock.now().getTime() + this.offsetMilliseconds);
  sleep = (milliseconds: number, signal?: AbortSignal) => systemClock.sleep(milliseconds, signal);
}

async function startLab(t: TestContext, settings: Partial<OidcIssuer> = {}) {
  const issuer = await startOidcIssuer();
  const clock = new ShiftedClock();
  const stop = new AbortController();
  const lines: Record<string, unknown>[] = [];
  const logger = createLogger({ destination: { write: (line) => void lines.push(JSON.parse(line)) } });
  t.after(async () => {
    stop.abort();
    await issuer.close();
  });
  const config: OidcIssuer = {
    url: issuer.url,
    authority: issuer.caCertificate,
    audiences: ['hub', 'also-hub'],
    requiredClaims: [],
    username: { claim: 'sub', prefix: 'oidc:' },
    groups: { claim: 'groups', prefix: 'oidc:' },
    ...settings,
  };
  const authenticator = new OidcAuthenticator({ issuers: [config], clock, logger, signal: stop.signal });
  return {
    issuer,
    clock,
    lines,
    authenticator,
    check: (bearerToken: string) => authenticator.authenticate({ bearerToken }),
    /** How often the issuer was asked for its keys. */
    asked: () => issuer.requests['/keys'] ?? 0,
  };
}

const claims = { sub: 'alice', aud: 'hub', groups: ['dev', 'ops'] };

describe('OIDC', () => {
  test('a good token stands for the user that its claims name', async (t) => {
    const { issuer, check, asked } = await startLab(t);
    const token = await issuer.token({ ...claims, jti: 'id-1' });
    const user = {
      name: 'oidc:alice',
      groups: ['oidc:dev', 'oidc:ops'],
      extra: { 'authentication.kubernetes.io/credential-id': ['JTI=id-1'] },
    };
    assert.deepEqual(await check(token), user);
    assert.deepEqual(await check(token), user);
    assert.deepEqual(
      (await check(await issuer.token({ ...claims, aud: ['x', 'also-hub'] })))?.groups.length,
      2,
    );
    assert.equal(asked(), 1);
  });

  test('tokens of others, and what is none, are left to the next authenticator', async (t) => {
    const { check, asked } = await startLab(t);
    assert.equal(await check('no token'), undefined);
    assert.equal(await check(new UnsecuredJWT({ iss: 'https://elsewhere.example' }).encode()), undefined);
    assert.equal(asked(), 0);
  });

  test('wrong tokens are refused, each with its reason', async (t) => {
    const { issuer, check } = await startLab(t);
    const now = Math.floor(systemClock.now().getTime() / 1000);
    await refuses(check(await issuer.token({ ...claims, aud: 'other' })), /another audience/);
    await refuses(check(await issuer.token({ sub: 'alice' })), /audience|"aud"/);
    await refuses(check(await issuer.token({ ...claims, exp: now - 3600 })), /expired/);
    await refuses(check(await issuer.token({ ...claims, exp: undefined })), /"exp"/);
    await refuses(check(await issuer.token({ ...claims, nbf: now + 3600 })), /not valid yet/);
    await refuses(check(await issuer.token({ aud: 'hub' })), /claim "sub"/);
    await refuses(check(await issuer.token({ ...claims, groups: [1] })), /claim "groups"/);
    await refuses(check(new UnsecuredJWT({ ...claims, iss: issuer.url }).encode()), /not accepted|signature/);
    const [header, payload] = (await issuer.token(claims)).split('.');
    await refuses(check(`${header}.${payload}.AAAA`), /signature/);
    const other = await startOidcIssuer();
    t.after(() => other.close());
    const foreign = await other.token({ ...claims, iss: issuer.url });
    await refuses(check(foreign), /key that its issuer does not have/);
  });

  test('nobody becomes a part of the system by a claim', async (t) => {
    const { issuer, check } = await startLab(t, {
      username: { claim: 'sub', prefix: '' },
      groups: { claim: 'groups', prefix: '' },
    });
    await refuses(check(await issuer.token({ ...claims, sub: 'system:admin' })), /system:/);
    const token = await issuer.token({ ...claims, groups: ['system:masters', 'dev', ''] });
    assert.deepEqual((await check(token))?.groups, ['dev']);
    assert.deepEqual((await check(await issuer.token({ ...claims, groups: 'dev' })))?.groups, ['dev']);
    assert.deepEqual((await check(await issuer.token({ ...claims, groups: undefined })))?.groups, []);
  });

  test('a prefix does not make a part of the system either', async (t) => {
    const { issuer, check } = await startLab(t, { username: { claim: 'sub', prefix: 'sys' } });
    await refuses(check(await issuer.token({ ...claims, sub: 'tem:admin' })), /system:/);
  });

  test('required claims, uid, and e-mail addresses that nobody verified', async (t) => {
    const { issuer, check } = await startLab(t, {
      requiredClaims: [{ claim: 'hd', value: 'example.com' }],
      username: { claim: 'email', prefix: '' },
      uidClaim: 'sub',
    });
    const good = { ...claims, hd: 'example.com', email: 'alice@example.com' };
    assert.deepEqual(await check(await issuer.token(good)), {
      name: 'alice@example.com',
      uid: 'alice',
      groups: ['oidc:dev', 'oidc:ops'],
    });
    await refuses(check(await issuer.token({ ...good, hd: 'other.com' })), /"hd"/);
    await refuses(check(await issuer.token({ ...good, hd: undefined })), /"hd"/);
    await refuses(check(await issuer.token({ ...good, email_verified: false })), /not verified/);
    assert.ok(await check(await issuer.token({ ...good, email_verified: true })));
  });

  test('new keys are fetched when a token names one, at most every ten seconds', async (t) => {
    const { issuer, clock, check, asked } = await startLab(t);
    const old = await issuer.token(claims);
    await check(old);
    await issuer.rotate({ keepOld: true });
    clock.offsetMilliseconds += 11_000;
    assert.ok(await check(await issuer.token(claims)));
    assert.equal(asked(), 2);
    for (let i = 0; i < 20; i++) {
      await refuses(check(await issuer.token(claims, { kid: `made-up-${i}` })), /key that its issuer/);
    }
    assert.equal(asked(), 2, 'made-up keys are no storm');
  });

  test('a withdrawn key stops to count, also for tokens that were known', async (t) => {
    const { issuer, clock, check } = await startLab(t);
    const old = await issuer.token(claims);
    await check(old);
    await issuer.rotate();
    clock.offsetMilliseconds += 61_000;
    await check(await issuer.token(claims));
    await refuses(check(old), /key that its issuer/);
  });

  test('a token that does not name its key is tried with all of them', async (t) => {
    const { issuer, check } = await startLab(t);
    await issuer.rotate({ keepOld: true });
    await issuer.rotate({ keepOld: true });
    assert.ok(await check(await issuer.token(claims, { kid: undefined })));
    const other = await startOidcIssuer();
    t.after(() => other.close());
    await refuses(check(await other.token({ ...claims, iss: issuer.url }, { kid: undefined })), /signature/);
  });

  test('an issuer that is away: 401 and one line in the log, not a request for every token; later it is back', async (t) => {
    const { issuer, clock, check, lines } = await startLab(t);
    issuer.behave('badly');
    const tokens = await Promise.all([1, 2, 3, 4].map((n) => issuer.token({ ...claims, n })));
    await Promise.all(tokens.map((token) => refuses(check(token), /cannot be reached by the hub/)));
    await refuses(check(tokens[0] ?? ''), /cannot be reached/);
    assert.equal(issuer.requests['/.well-known/openid-configuration'], 1);
    assert.equal(lines.length, 1);
    assert.match(String(lines[0]?.['reason']), /answered 503/);
    issuer.behave('well');
    clock.offsetMilliseconds += 11_000;
    assert.ok(await check(tokens[0] ?? ''));
    assert.equal(lines.at(-1)?.['msg'], 'OIDC issuer is back');
    assert.doesNotMatch(JSON.stringify(lines), /eyJ/, 'no token in the log');
  });

  test('with its keys known, an issuer that goes away locks nobody out', async (t) => {
    const { issuer, clock, check } = await startLab(t);
    await check(await issuer.token(claims));
    issuer.behave('badly');
    clock.offsetMilliseconds += 3 * 3_600_000;
    const exp = Math.floor(clock.now().getTime() / 1000) + 600;
    assert.ok(await check(await issuer.token({ ...claims, exp })));
  });

  test('who waits for a silent issuer keeps nobody else waiting', async (t) => {
    const { issuer, authenticator, check } = await startLab(t);
    issuer.behave('slowly');
    const token = await issuer.token(claims);
    let isSettled = false;
    const waiting = check(token)
      .catch(() => undefined)
      .finally(() => {
        isSettled = true;
      });
    const elsewhere = new UnsecuredJWT({ iss: 'https://elsewhere.example' }).encode();
    assert.equal(await authenticator.authenticate({ bearerToken: elsewhere }), undefined);
    assert.equal(isSettled, false);
    await issuer.close();
    await waiting;
  });

  test('an issuer that calls itself otherwise, or that we do not trust, is not believed', async (t) => {
    const { issuer, lines, check } = await startLab(t, { discoveryUrl: 'https://127.0.0.1:1/x' });
    await refuses(check(await issuer.token(claims)), /cannot be reached/);
    assert.match(String(lines[0]?.['reason']), /ECONNREFUSED/);
    const distrusted = await startLab(t);
    const stop = new AbortController();
    const { authority: _, ...config } = {
      url: distrusted.issuer.url,
      authority: '',
      audiences: ['hub'],
      requiredClaims: [],
      username: { claim: 'sub', prefix: '' },
    };
    const lone = new OidcAuthenticator({
      issuers: [config],
      clock: systemClock,
      logger: createLogger({ level: 'silent' }),
      signal: stop.signal,
    });
    const bearerToken = await distrusted.issuer.token(claims);
    await refuses(lone.authenticate({ bearerToken }), /cannot be reached/);
    const renamed = await startLab(t);
    const alias = renamed.issuer.url.replace('127.0.0.1', 'localhost');
    const misnamed = new OidcAuthenticator({
      issuers: [
        {
          ...config,
          url: alias,
          discoveryUrl: `${renamed.issuer.url}/.well-known/openid-configuration`,
          authority: renamed.issuer.caCertificate,
        },
      ],
      clock: systemClock,
      logger: createLogger({ level: 'silent' }),
      signal: stop.signal,
    });
    const aliased = await renamed.issuer.token({ ...claims, iss: alias });
    await refuses(misnamed.authenticate({ bearerToken: aliased }), /cannot be reached/);
  });
});
