import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { EnrollmentToken } from '@selvedge/api';
import { UsageError } from '../program/exit-code.ts';
import { ago, now } from '../testing/sample-fleet.ts';
import { isStillGood, wantedToken } from './token-plan.ts';
import { withHubAddresses } from './token-text.ts';

const present = (seconds: number, changes: Partial<EnrollmentToken> = {}): EnrollmentToken => ({
  ...wantedToken({ site: 'shop-1' }),
  metadata: { name: 'site-shop-1', creationTimestamp: ago(seconds) },
  ...changes,
});

describe('site token', () => {
  test('is named after the site and valid once, for a day', () => {
    assert.deepEqual(wantedToken({ site: 'shop-1' }), {
      apiVersion: 'selvedge.dev/v1alpha1',
      kind: 'EnrollmentToken',
      metadata: { name: 'site-shop-1', annotations: { 'selvedge.dev/made-by': 'selvedge-site-token' } },
      spec: { siteName: 'shop-1', uses: 1, ttl: '24h' },
    });
  });

  test('for many sites needs a template of names', () => {
    const token = wantedToken({ site: 'shop-{hostname}', uses: 50, labels: { tier: 'store' } });
    assert.equal(token.metadata.name, 'site-shop-hostname');
    assert.deepEqual(token.spec, {
      siteNameTemplate: 'shop-{hostname}',
      siteLabels: { tier: 'store' },
      uses: 50,
      ttl: '24h',
    });
    assert.throws(() => wantedToken({ site: 'shop', uses: 2 }), UsageError);
    assert.throws(() => wantedToken({ site: 'shop', ttl: 'soon' }), UsageError);
  });

  test('that is there is taken again while it is as wanted, unused and valid for a while', () => {
    const wanted = wantedToken({ site: 'shop-1' });
    assert.equal(isStillGood(present(3600), wanted, now), true);
    assert.equal(isStillGood(present(86_400 - 60), wanted, now), false);
    assert.equal(isStillGood(present(90_000), wanted, now), false);
    const used = [{ site: 'shop-1', keyFingerprint: 'k', time: ago(1) }];
    assert.equal(isStillGood(present(3600, { status: { used } }), wanted, now), false);
    assert.equal(isStillGood(present(3600), wantedToken({ site: 'shop-1', ttl: '1h' }), now), false);
    assert.equal(isStillGood(present(3600), wantedToken({ site: 'shop-1', labels: { a: 'b' } }), now), false);
    const short = wantedToken({ site: 'shop-1', ttl: '60s' });
    assert.equal(isStillGood(present(10, { spec: short.spec }), short, now), true);
    assert.equal(isStillGood(present(40, { spec: short.spec }), short, now), false);
  });

  test('can carry other hub addresses, and keeps the rest', () => {
    const claims = { hubs: ['https://a'], fleetKeyFingerprint: 'SHA256:x', token: 'site-a', secret: 's' };
    const text = `selvedge1.${Buffer.from(JSON.stringify(claims)).toString('base64url')}`;
    const changed = withHubAddresses(text, ['https://relay:1', 'https://relay:2']);
    const read = JSON.parse(
      Buffer.from(changed.slice('selvedge1.'.length), 'base64url').toString('utf8'),
    ) as object;
    assert.deepEqual(read, { ...claims, hubs: ['https://relay:1', 'https://relay:2'] });
    assert.throws(() => withHubAddresses('something', []), /unknown form/);
  });
});
