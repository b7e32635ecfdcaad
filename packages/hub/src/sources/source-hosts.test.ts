import assert from 'node:assert/strict';
import { test } from 'node:test';
import { isSourceHostRule, SourceHosts } from './source-hosts.ts';
import { SourceError } from './source-reading.ts';

const open = (hosts: readonly string[], insecureHosts: readonly string[] = []) =>
  new SourceHosts({ hosts, insecureHosts });

function refuses(words: RegExp): (error: unknown) => boolean {
  return (error) =>
    error instanceof SourceError && error.fault === 'SourceUnavailable' && words.test(error.message);
}

test('by default only public addresses are spoken to, however they are written', async () => {
  const hosts = open(['public']);
  assert.deepEqual(await hosts.resolve({ protocol: 'https', host: '93.184.216.34', port: 443 }), [
    '93.184.216.34',
  ]);
  for (const host of [
    '127.0.0.1',
    '10.0.0.1',
    '169.254.169.254',
    '192.168.1.1',
    '::1',
    '::ffff:10.0.0.1',
    'fd00::1',
    'localhost',
  ]) {
    await assert.rejects(
      hosts.resolve({ protocol: 'ssh', host, port: 22 }),
      refuses(/at no public address/),
      host,
    );
  }
});

test('a host that is named may be anywhere, by its name, port or domain, and no other is read', async () => {
  const hosts = open(['10.0.0.1', '10.0.0.2:8443', '[fd00::1]:443', '*.localhost']);
  const resolve = (host: string, port = 443) => hosts.resolve({ protocol: 'https', host, port });
  assert.deepEqual(await resolve('10.0.0.1', 8080), ['10.0.0.1']);
  assert.deepEqual(await resolve('10.0.0.2', 8443), ['10.0.0.2']);
  assert.deepEqual(await resolve('fd00::1'), ['fd00::1']);
  for (const [host, port] of [
    ['10.0.0.2', 443],
    ['93.184.216.34', 443],
    ['localhost', 443],
    ['fd00::1', 80],
  ] as const) {
    await assert.rejects(resolve(host, port), refuses(/names allowed hosts by --source-host/), host);
  }
  const both = open(['10.0.0.1', 'public']);
  assert.deepEqual(await both.resolve({ protocol: 'https', host: '93.184.216.34', port: 443 }), [
    '93.184.216.34',
  ]);
});

test('without TLS only hosts are read that the operator names for it', async () => {
  const hosts = open(['10.0.0.1', 'public'], ['10.0.0.9:8080']);
  await assert.rejects(hosts.resolve({ protocol: 'http', host: '10.0.0.1', port: 80 }), refuses(/over http/));
  await assert.rejects(hosts.resolve({ protocol: 'http', host: '10.0.0.9', port: 80 }), refuses(/over http/));
  assert.deepEqual(await hosts.resolve({ protocol: 'http', host: '10.0.0.9', port: 8080 }), ['10.0.0.9']);
});

test('a name that does not resolve is told', async () => {
  await assert.rejects(
    open(['public']).resolve({ protocol: 'https', host: 'no-such.invalid', port: 443 }),
    refuses(/no-such.invalid cannot be looked up/),
  );
});

test('rules are hosts, with a port or as a domain', () => {
  for (const rule of [
    'public',
    'git.example.com',
    'GIT:8443',
    '*.example.com',
    '[::1]',
    '[::1]:80',
    '10.0.0.1:1',
  ]) {
    assert.ok(isSourceHostRule(rule), rule);
  }
  for (const rule of ['', '*', 'https://git', 'a/b', 'git.*', '::1', 'a:b', 'a b']) {
    assert.ok(!isSourceHostRule(rule), rule);
  }
});
