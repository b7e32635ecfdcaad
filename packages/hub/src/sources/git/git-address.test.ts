import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { faultOfGitUrl, isSameRepository, parseGitAddress, resolveSubmoduleUrl } from './git-address.ts';
import { faultOfRefName } from './git-ref.ts';

test('addresses of all forms are taken apart', () => {
  assert.deepEqual(parseGitAddress('https://git.example.com/shop/till.git'), {
    protocol: 'https',
    host: 'git.example.com',
    port: 443,
    user: undefined,
    url: 'https://git.example.com/shop/till.git',
  });
  assert.deepEqual(parseGitAddress('https://robot@git.example.com:8443/till'), {
    protocol: 'https',
    host: 'git.example.com',
    port: 8443,
    user: 'robot',
    url: 'https://git.example.com:8443/till',
  });
  assert.deepEqual(parseGitAddress('ssh://git@[::1]:2222/srv/till.git'), {
    protocol: 'ssh',
    host: '::1',
    port: 2222,
    user: 'git',
    url: 'ssh://git@[::1]:2222/srv/till.git',
  });
  assert.deepEqual(parseGitAddress('git@git.example.com:shop/till.git'), {
    protocol: 'ssh',
    host: 'git.example.com',
    port: 22,
    user: 'git',
    url: 'git@git.example.com:shop/till.git',
  });
});

test('whatever is taken begins neither with a dash nor with another scheme, and holds no password', () => {
  const pieces = fc.constantFrom(
    '-',
    '--',
    'ext::',
    'ssh://',
    'https://',
    'git@',
    ':',
    '/',
    '@',
    'host',
    'p',
    '%2d',
    '\n',
    ' ',
    '..',
    '[',
    ']',
    'file:',
  );
  fc.assert(
    fc.property(fc.array(pieces, { maxLength: 12 }), fc.string(), (parts, end) => {
      const text = parts.join('') + end;
      if (faultOfGitUrl(text) !== undefined) return;
      const { url, host, user } = parseGitAddress(text);
      assert.match(url, /^(https:\/\/|http:\/\/|ssh:\/\/|[A-Za-z0-9_])/);
      assert.doesNotMatch(url, /^(ext|file|git):|\s/);
      assert.doesNotMatch(host, /^-/);
      assert.doesNotMatch(user ?? '', /^-/);
    }),
    { numRuns: 2000 },
  );
});

test("ssh needs a user, or the name of the hub's own would be sent", () => {
  assert.match(faultOfGitUrl('ssh://git.example.com/x') ?? '', /lacks the user/);
});

test('one repository is known under its several addresses', () => {
  assert.ok(isSameRepository('https://git.example.com/a/b.git', 'https://GIT.example.com:443/a/b/'));
  assert.ok(isSameRepository('git@git.example.com:a/b.git', 'ssh://git@git.example.com/a/b'));
  assert.ok(!isSameRepository('https://git.example.com/a/b', 'https://git.example.com/a/c'));
  assert.ok(!isSameRepository('https://git.example.com/a/b', 'https://git.example.com:8443/a/b'));
});

test('addresses of submodules are relative to the repository, and stay on its host', () => {
  const https = parseGitAddress('https://git.example.com/shop/till.git');
  const scp = parseGitAddress('git@git.example.com:shop/till.git');
  assert.equal(resolveSubmoduleUrl('../lib.git', https), 'https://git.example.com/shop/lib.git');
  assert.equal(resolveSubmoduleUrl('../../other/lib.git', https), 'https://git.example.com/other/lib.git');
  assert.equal(resolveSubmoduleUrl('../lib.git', scp), 'git@git.example.com:shop/lib.git');
  assert.equal(resolveSubmoduleUrl('https://else/lib', https), 'https://else/lib');
  assert.throws(() => resolveSubmoduleUrl('../../../lib', https), /leads above its host/);
});

test('names of refs follow the rules of git', () => {
  for (const name of ['main', 'feature/x', 'v1.2.3', 'ünïcode', 'a@b'])
    assert.equal(faultOfRefName(name), undefined, name);
  for (const name of [
    '',
    '-x',
    'a..b',
    'a b',
    'a~1',
    'a^',
    'a:b',
    'a?',
    '*',
    '[a',
    'a\\b',
    'a@{1}',
    '@',
    '/a',
    'a/',
    'a//b',
    '.a',
    'a/.b',
    'a.lock',
    'a.',
    'a\u0001',
  ]) {
    assert.notEqual(faultOfRefName(name), undefined, name);
  }
});
