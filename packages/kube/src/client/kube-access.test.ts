import assert from 'node:assert/strict';
import { chmod, mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { isStatusError } from '@selvedge/api';
import { FakeClock } from '@selvedge/testkit';
import { stringify } from 'yaml';
import { inClusterAccess } from './in-cluster-access.ts';
import { kubeconfigAccess } from './kubeconfig-access.ts';

const pem = (what: string) => `-----BEGIN ${what}-----\nAAAA\n-----END ${what}-----\n`;
const base64 = (text: string) => Buffer.from(text).toString('base64');
const isReason = (reason: string, pattern: RegExp) => (error: unknown) =>
  isStatusError(error) && error.reason === reason && pattern.test(error.message);

describe('access to a Kubernetes API', () => {
  let folder = '';
  before(async () => {
    folder = await mkdtemp(join(tmpdir(), 'selvedge-access-'));
  });
  after(() => rm(folder, { recursive: true, force: true }));

  let count = 0;
  const write = async (parts: { cluster?: object; user?: object }): Promise<string> => {
    const path = join(folder, `config-${++count}`);
    const text = stringify({
      'current-context': 'main',
      clusters: [{ name: 'c', cluster: { server: 'https://c:6443', ...parts.cluster } }],
      users: [{ name: 'u', user: { ...parts.user } }],
      contexts: [{ name: 'main', context: { cluster: 'c', user: 'u' } }],
    });
    await writeFile(path, text);
    return path;
  };
  const environment = process.env;
  const open = async (parts: { cluster?: object; user?: object }, clock = new FakeClock()) =>
    kubeconfigAccess({ path: await write(parts), environment, clock });

  /** A plugin that prints what `answer` holds and counts its runs. */
  const plugin = async (
    answer: unknown,
  ): Promise<{ command: string; runs: () => Promise<number>; seen: string }> => {
    const name = `plugin-${++count}`;
    const path = join(folder, name);
    const text = typeof answer === 'string' ? answer : JSON.stringify(answer);
    await writeFile(`${path}.json`, text);
    const script = `#!/bin/sh\necho "$KUBERNETES_EXEC_INFO $EXTRA $*" >> '${path}.seen'\ncat '${path}.json'\n`;
    await writeFile(path, script);
    await chmod(path, 0o755);
    const runs = async () => (await readFile(`${path}.seen`, 'utf8')).trim().split('\n').length;
    return { command: `./${name}`, runs, seen: `${path}.seen` };
  };
  const credential = (status: object, version = 'v1') => ({
    apiVersion: `client.authentication.k8s.io/${version}`,
    kind: 'ExecCredential',
    status,
  });
  const exec = (command: string, more: object = {}) => ({
    exec: { apiVersion: 'client.authentication.k8s.io/v1', command, interactiveMode: 'Never', ...more },
  });

  test('by a client certificate needs no header', async () => {
    const access = await open({
      cluster: { 'certificate-authority-data': base64(pem('CERTIFICATE')), 'tls-server-name': 'api' },
      user: { 'client-certificate-data': base64(pem('CERTIFICATE')), 'client-key-data': base64(pem('KEY')) },
    });
    assert.equal(access.server, 'https://c:6443');
    const certificate = pem('CERTIFICATE');
    assert.deepEqual(access.tls, { ca: certificate, serverName: 'api', cert: certificate, key: pem('KEY') });
    assert.equal(await access.authorization(), undefined);
  });

  test('by a token, and without checking the server only when the kubeconfig says so', async () => {
    const access = await open({
      cluster: { 'insecure-skip-tls-verify': true },
      user: { token: 'abc' },
    });
    assert.deepEqual(access.tls, { insecureSkipVerify: true });
    assert.equal(await access.authorization(), 'Bearer abc');
  });

  test('reads a token file again after a minute, and at once when the token was refused', async () => {
    const clock = new FakeClock();
    await writeFile(join(folder, 'token'), 'one\n');
    const access = await open({ user: { tokenFile: 'token', token: 'not this one' } }, clock);
    assert.equal(await access.authorization(), 'Bearer one');
    await writeFile(join(folder, 'token'), 'two\n');
    await clock.advance(59_000);
    assert.equal(await access.authorization(), 'Bearer one');
    await clock.advance(1000);
    assert.equal(await access.authorization(), 'Bearer two');
    await writeFile(join(folder, 'token'), 'three\n');
    access.refused();
    assert.equal(await access.authorization(), 'Bearer three');
    await rm(join(folder, 'token'));
    access.refused();
    await assert.rejects(() => access.authorization(), isReason('ServiceUnavailable', /token.*ENOENT/));
  });

  test('runs a plugin once for many requests, again when its credential ends or is refused', async () => {
    const clock = new FakeClock('2026-01-01T00:00:00Z');
    const { command, runs, seen } = await plugin(
      credential({ token: 'from-plugin', expirationTimestamp: '2026-01-01T01:00:00Z' }),
    );
    const user = exec(command, {
      args: ['get-token'],
      env: [{ name: 'EXTRA', value: 'extra' }],
      provideClusterInfo: true,
    });
    const access = await open({ user }, clock);
    const headers = await Promise.all([access.authorization(), access.authorization()]);
    assert.deepEqual(headers, ['Bearer from-plugin', 'Bearer from-plugin']);
    assert.equal(await runs(), 1);
    const said = await readFile(seen, 'utf8');
    assert.match(said, / extra get-token\n$/);
    assert.deepEqual(JSON.parse(said.slice(0, said.lastIndexOf('}') + 1)), {
      apiVersion: 'client.authentication.k8s.io/v1',
      kind: 'ExecCredential',
      spec: { cluster: { server: 'https://c:6443' }, interactive: false },
    });
    access.refused();
    await access.authorization();
    assert.equal(await runs(), 1, 'a credential of this moment was not the one that was refused');
    await clock.advance(10_000);
    access.refused();
    await access.authorization();
    assert.equal(await runs(), 2);
    await clock.advance(3600_000);
    await access.authorization();
    assert.equal(await runs(), 3);
  });

  test('takes a client certificate from a plugin, also of version v1beta1', async () => {
    const { command } = await plugin(
      credential({ clientCertificateData: 'certificate', clientKeyData: 'key' }, 'v1beta1'),
    );
    const access = await open({
      user: exec(command, { apiVersion: 'client.authentication.k8s.io/v1beta1' }),
    });
    assert.deepEqual(access.tls, {});
    assert.equal(await access.authorization(), undefined);
    assert.deepEqual(access.tls, { cert: 'certificate', key: 'key' });
  });

  test('says what is wrong with a plugin, and never what it printed', async () => {
    const refuse = async (user: object, reason: string, pattern: RegExp) => {
      await assert.rejects(async () => (await open({ user })).authorization(), isReason(reason, pattern));
    };
    await refuse(
      exec('no-such-plugin', { installHint: 'Get it there.' }),
      'ServiceUnavailable',
      /not installed\nGet it there/,
    );
    const silent = await plugin('{"secret": "s3cret"');
    await refuse(
      exec(silent.command),
      'ServiceUnavailable',
      /^(?!.*s3cret).*did not print an ExecCredential/s,
    );
    const other = await plugin(credential({ token: 't' }, 'v1beta1'));
    await refuse(exec(other.command), 'ServiceUnavailable', /printed client.authentication.k8s.io\/v1beta1/);
    const empty = await plugin(credential({}));
    await refuse(exec(empty.command), 'ServiceUnavailable', /neither a token nor/);
    await refuse(
      exec('x', { apiVersion: 'client.authentication.k8s.io/v1alpha1' }),
      'BadRequest',
      /apiVersion/,
    );
    await refuse(exec('x', { interactiveMode: 'Always' }), 'BadRequest', /interactiveMode/);
    await refuse({ 'auth-provider': { name: 'gcp' } }, 'BadRequest', /auth-provider is not supported/);
    await refuse({ as: 'somebody', token: 't' }, 'BadRequest', /\.as is not supported/);
  });

  test('in a pod follows the mounted token, and writes an IPv6 address as URLs do', async () => {
    const clock = new FakeClock();
    const directory = join(folder, 'pod');
    const address = { KUBERNETES_SERVICE_HOST: 'fd00::1', KUBERNETES_SERVICE_PORT: '443' };
    await mkdir(directory);
    await assert.rejects(
      () => inClusterAccess({ environment: address, clock, directory }),
      isReason('BadRequest', /ca.crt is missing/),
    );
    await writeFile(join(directory, 'ca.crt'), pem('CERTIFICATE'));
    await writeFile(join(directory, 'token'), 'pod-token\n');
    await writeFile(join(directory, 'namespace'), 'selvedge-system');
    const access = await inClusterAccess({ environment: address, clock, directory });
    assert.equal(access.server, 'https://[fd00::1]:443');
    assert.equal(access.namespace, 'selvedge-system');
    assert.deepEqual(access.tls, { ca: pem('CERTIFICATE') });
    assert.equal(await access.authorization(), 'Bearer pod-token');
    await assert.rejects(
      () => inClusterAccess({ environment: {}, clock, directory }),
      isReason('BadRequest', /no pod of a cluster/),
    );
  });
});
