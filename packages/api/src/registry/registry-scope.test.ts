import assert from 'node:assert/strict';
import { test } from 'node:test';
import { readDockerConfig, writeDockerConfig } from './docker-config.ts';
import { coversRepository, findForRepository, imageRepository, registryScope } from './registry-scope.ts';

test('an image is known by its registry and path, however it is written', () => {
  assert.equal(imageRepository('nginx'), 'docker.io/library/nginx');
  assert.equal(imageRepository('nginx:1.27'), 'docker.io/library/nginx');
  assert.equal(imageRepository('index.docker.io/team/app'), 'docker.io/team/app');
  assert.equal(imageRepository('localhost/app'), 'localhost/app');
  assert.equal(
    imageRepository(`registry.example:5000/a/b:1@sha256:${'a'.repeat(64)}`),
    'registry.example:5000/a/b',
  );
  assert.equal(imageRepository('NO IMAGE'), undefined);
});

test('what people write beside a registry does not matter', () => {
  for (const text of ['docker.io', 'https://index.docker.io/v1/', 'registry-1.docker.io', 'Docker.io/']) {
    assert.equal(registryScope(text), 'docker.io', text);
  }
  assert.equal(registryScope('https://registry.example:5000/team/'), 'registry.example:5000/team');
});

test('a scope covers what is below it, and nothing that only begins like it', () => {
  assert.ok(coversRepository('r.example/team', 'r.example/team/app'));
  assert.ok(!coversRepository('r.example/team', 'r.example/teams/app'));
  assert.ok(!coversRepository('r.example', 'r.example.evil/app'));
  assert.ok(!coversRepository('r.example', 'r.example:5000/app'));
});

test('the longest scope counts', () => {
  const scopes = ['r.example', 'r.example/team/app', 'r.example/team'];
  const find = (repository: string) => findForRepository(scopes, repository, (scope) => scope);
  assert.equal(find('r.example/team/app'), 'r.example/team/app');
  assert.equal(find('r.example/team/other'), 'r.example/team');
  assert.equal(find('r.example/free'), 'r.example');
  assert.equal(find('other.example/free'), undefined);
});

test('a docker configuration is read as engines write it, and comes back as it was written', () => {
  const auth = Buffer.from('anna:pass:with:colons').toString('base64');
  const config = {
    auths: { 'https://index.docker.io/v1/': { auth }, 'r.example': {}, 'q.example': { auth: '???' } },
  };
  const logins = [{ registry: 'docker.io', username: 'anna', password: 'pass:with:colons' }];
  assert.deepEqual(readDockerConfig(JSON.stringify(config)), logins);
  assert.deepEqual(readDockerConfig(writeDockerConfig(logins)), logins);
  const umlauts = [{ registry: 'r.example/ü', username: 'ä', password: '✓' }];
  assert.deepEqual(readDockerConfig(writeDockerConfig(umlauts)), umlauts);
  for (const broken of ['', 'null', '{"auths":null}', '[]', '{"auths":"x"}']) {
    assert.equal(readDockerConfig(broken)?.length ?? 0, 0, broken);
  }
});
