import assert from 'node:assert/strict';
import { test } from 'node:test';
import { siteNameFor } from './site-name.ts';

const agent = { hostname: 'Till_01.shop.example', keyFingerprint: 'SHA256:abc' };

test('a fixed name is taken as it is', () => {
  assert.equal(siteNameFor({ siteName: 'berlin' }, agent), 'berlin');
});

test('{hostname} is the first label of the host name, made fit', () => {
  assert.equal(siteNameFor({ siteNameTemplate: 'shop-{hostname}' }, agent), 'shop-till-01');
});

test('{random} is the same for the same key and differs between keys', () => {
  const name = siteNameFor({ siteNameTemplate: 'shop-{random}' }, agent);
  assert.match(name, /^shop-[a-z0-9]{8}$/);
  assert.equal(siteNameFor({ siteNameTemplate: 'shop-{random}' }, agent), name);
  assert.notEqual(
    siteNameFor({ siteNameTemplate: 'shop-{random}' }, { ...agent, keyFingerprint: 'SHA256:abd' }),
    name,
  );
});

test('a name that no site can have is refused', () => {
  assert.throws(
    () => siteNameFor({ siteNameTemplate: '{hostname}' }, { ...agent, hostname: '___' }),
    /gives no name/,
  );
  assert.throws(
    () => siteNameFor({ siteNameTemplate: `${'x'.repeat(60)}-{random}` }, agent),
    /cannot be a site's name/,
  );
  assert.throws(() => siteNameFor({ siteName: 'Berlin' }, agent), /cannot be a site's name/);
});
