import assert from 'node:assert/strict';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { stringify } from 'yaml';
import { loadKubeconfig } from './kubeconfig.ts';

const pem = (what: string) => `-----BEGIN ${what}-----\nAAAA\n-----END ${what}-----\n`;
const base64 = (text: string) => Buffer.from(text).toString('base64');

interface Parts {
  cluster?: Record<string, unknown>;
  user?: Record<string, unknown>;
  context?: Record<string, unknown>;
  top?: Record<string, unknown>;
}

describe('kubeconfig', () => {
  let folder = '';
  before(async () => {
    folder = await mkdtemp(join(tmpdir(), 'selvedge-kubeconfig-'));
  });
  after(() => rm(folder, { recursive: true, force: true }));

  let count = 0;
  const write = async (text: string): Promise<string> => {
    count += 1;
    const path = join(folder, `config-${count}`);
    await writeFile(path, text);
    return path;
  };
  const writeParts = ({ cluster, user, context, top }: Parts = {}) =>
    write(
      stringify({
        apiVersion: 'v1',
        kind: 'Config',
        'current-context': 'main',
        clusters: [{ name: 'hub', cluster: { server: 'https://hub:6480/', ...cluster } }],
        users: [{ name: 'admin', user: { ...user } }],
        contexts: [{ name: 'main', context: { cluster: 'hub', user: 'admin', ...context } }],
        ...top,
      }),
    );

  test('reads certificates as data and from files beside the kubeconfig', async () => {
    await writeFile(join(folder, 'admin.key'), pem('PRIVATE KEY'));
    const path = await writeParts({
      cluster: { 'certificate-authority-data': base64(pem('CERTIFICATE')) },
      user: { 'client-certificate-data': base64(pem('CERTIFICATE')), 'client-key': 'admin.key' },
      context: { namespace: 'shop' },
    });
    assert.deepEqual(await loadKubeconfig(path), {
      path,
      context: 'main',
      server: 'https://hub:6480',
      namespace: 'shop',
      ca: pem('CERTIFICATE'),
      cert: pem('CERTIFICATE'),
      key: pem('PRIVATE KEY'),
      insecureSkipTlsVerify: false,
    });
  });

  test('reads a token, and one from a file', async () => {
    assert.equal((await loadKubeconfig(await writeParts({ user: { token: 'abc' } }))).token, 'abc');
    await writeFile(join(folder, 'token'), 'from-file\n');
    assert.equal(
      (await loadKubeconfig(await writeParts({ user: { tokenFile: 'token' } }))).token,
      'from-file',
    );
  });

  test('takes the named context, and merges a list of files as kubectl does', async () => {
    const other = await write(
      stringify({
        clusters: [{ name: 'second', cluster: { server: 'https://second:1' } }],
        users: [{ name: 'admin', user: { token: 'never taken: the first file has an admin' } }],
        contexts: [{ name: 'other', context: { cluster: 'second', user: 'admin' } }],
      }),
    );
    const first = await writeParts({ user: { token: 'first' } });
    const list = `${first}:${join(folder, 'missing')}:${other}`;
    assert.equal((await loadKubeconfig(list)).server, 'https://hub:6480');
    const chosen = await loadKubeconfig(list, 'other');
    assert.equal(chosen.server, 'https://second:1');
    assert.equal(chosen.token, 'first');
  });

  const refusals: [string, Parts, RegExp][] = [
    ['no current context', { top: { 'current-context': '' } }, /current-context is not set/],
    [
      'a context that is not there',
      { top: { 'current-context': 'x' } },
      /contexts has no entry named "x"; there are: main/,
    ],
    ['a context without cluster', { context: { cluster: null } }, /contexts\[main\]\.cluster is missing/],
    ['an unknown cluster', { context: { cluster: 'y' } }, /clusters has no entry named "y"; there are: hub/],
    ['no server', { cluster: { server: null } }, /clusters\[hub\]\.server is missing/],
    [
      'a server that is no address',
      { cluster: { server: 'hub' } },
      /clusters\[hub\]\.server is "hub", not an https/,
    ],
    [
      'certificate data that is not PEM',
      { cluster: { 'certificate-authority-data': 'AAAA' } },
      /clusters\[hub\]\.certificate-authority-data does not hold PEM/,
    ],
    [
      'a key without certificate',
      { user: { 'client-key-data': base64(pem('PRIVATE KEY')) } },
      /users\[admin\]\.client-certificate-data is missing/,
    ],
    [
      'a file that is not there',
      { user: { 'client-certificate': 'missing.crt' } },
      /users\[admin\]\.client-certificate names .*missing\.crt, which cannot be read: there is no such file/,
    ],
    ['an exec plugin', { user: { exec: { command: 'x' } } }, /users\[admin\]\.exec is not supported/],
    ['a value of the wrong type', { user: { token: 7 } }, /users\[admin\]\.token is not a string/],
  ];
  for (const [what, parts, message] of refusals) {
    test(`refuses ${what}, naming file and field`, async () => {
      const path = await writeParts(parts);
      await assert.rejects(loadKubeconfig(path), (error: Error) => {
        assert.match(error.message, message);
        assert.ok(error.message.includes(path));
        return true;
      });
    });
  }

  test('refuses a file that is missing, not YAML, or something else', async () => {
    await assert.rejects(
      loadKubeconfig(join(folder, 'nothing')),
      /nothing: cannot be read: there is no such file/,
    );
    await assert.rejects(loadKubeconfig(await write('a: [')), /is not YAML/);
    await assert.rejects(loadKubeconfig(await write('just text')), /is not a kubeconfig/);
    await assert.rejects(loadKubeconfig(await write('kind: Config')), /current-context is not set/);
  });
});
