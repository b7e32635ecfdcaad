import assert from 'node:assert/strict';
import { X509Certificate } from 'node:crypto';
import { readFileSync, writeFileSync } from 'node:fs';
import { describe, test, type TestContext } from 'node:test';
import { type ConfigMap, configMaps, namespaces } from '@selvedge/api';
import { createLogger } from '@selvedge/api/node';
import { createHttpClient, loadKubeconfig } from '@selvedge/kube';
import { connect as connectTls } from 'node:tls';
import { HubCertificates } from '../identity/certificates.ts';
import { HubOptionError } from './hub-option-error.ts';
import { AuthenticationLab, eventually, userOf } from './testing/authentication-lab.ts';

const boss = { name: 'boss', groups: ['system:masters'] };

/** The certificate that a new connection is shown. */
function shownCertificate(url: string): Promise<string> {
  const { hostname, port } = new URL(url);
  return new Promise((resolve, reject) => {
    const socket = connectTls({ host: hostname, port: Number(port), rejectUnauthorized: false }, () => {
      const { raw } = socket.getPeerCertificate();
      socket.destroy();
      resolve(new X509Certificate(raw).fingerprint256);
    });
    socket.on('error', reject);
  });
}

const fingerprint = (pem: string) => new X509Certificate(pem).fingerprint256;

/** A hub that shows a certificate from elsewhere. */
async function startWithFiles(t: TestContext) {
  const lab = new AuthenticationLab(t);
  const authority = await lab.newAuthority();
  const put = (pair: { key: string; certificate: string }) => {
    writeFileSync(lab.file('tls.key'), pair.key);
    writeFileSync(lab.file('tls.crt'), pair.certificate);
  };
  const first = await lab.newServerCertificate(authority, ['hub.example']);
  put(first);
  await lab.start({ tlsCertFile: lab.file('tls.crt'), tlsPrivateKeyFile: lab.file('tls.key') });
  const complaint = () => lab.lines.findLast((line) => String(line['msg']).startsWith('changed files'));
  return { lab, authority, put, first, complaint };
}

describe('TLS of the hub', () => {
  test('a given certificate is shown, and the kubeconfig works with it whatever its names are', async (t) => {
    const { lab, first } = await startWithFiles(t);
    assert.equal(await shownCertificate(lab.hub.url), fingerprint(first.certificate));
    const kubeconfig = await loadKubeconfig(lab.hub.kubeconfigPath);
    assert.equal(kubeconfig.tlsServerName, 'hub.example');
    const client = createHttpClient({ kubeconfig });
    t.after(() => client.close());
    assert.ok(await client.get(namespaces, { name: 'default' }));
  });

  test('a new pair is taken without a restart; what is open goes on', async (t) => {
    const { lab, authority, put } = await startWithFiles(t);
    const client = createHttpClient({ kubeconfig: await loadKubeconfig(lab.hub.kubeconfigPath) });
    t.after(() => client.close());
    const stop = new AbortController();
    const seen: string[] = [];
    const { metadata } = await client.list(configMaps, { namespace: 'default' });
    const watching = (async () => {
      const watch = client.watch<ConfigMap>(configMaps, { ...metadata, signal: stop.signal });
      for await (const event of watch) if (event.type === 'ADDED') seen.push(event.object.metadata.name);
    })();
    const own = await lab.newClientCertificate(lab.ownAuthority, boss);
    const session = lab.connect(own);
    assert.equal((await lab.whoAmI(session)).status, 201);

    const second = await lab.newServerCertificate(authority, ['hub.example']);
    put(second);
    await eventually(async () => (await shownCertificate(lab.hub.url)) === fingerprint(second.certificate));
    assert.equal((await lab.whoAmI(session)).status, 201);
    assert.equal(session.destroyed, false);
    await lab.hub.client.create(configMaps, {
      apiVersion: 'v1',
      kind: 'ConfigMap',
      metadata: { name: 'after', namespace: 'default' },
    });
    await eventually(async () => seen.includes('after'));
    stop.abort();
    await watching;
    await eventually(async () => {
      const { ca } = await loadKubeconfig(lab.hub.kubeconfigPath);
      return ca?.includes(second.certificate.trim());
    });
  });

  test('files that cannot be used are spoken of, and the old pair goes on until they can', async (t) => {
    const { lab, authority, put, first, complaint } = await startWithFiles(t);
    const other = await lab.newServerCertificate(authority, ['hub.example']);
    const isOld = async () => (await shownCertificate(lab.hub.url)) === fingerprint(first.certificate);
    const complains = (reason: RegExp) =>
      eventually(async () => reason.test(String(complaint()?.['reason'])));

    put({ key: first.key, certificate: other.certificate });
    await complains(/--tls-private-key-file .* does not go with/);
    assert.ok(await isOld());
    put({ key: first.key, certificate: 'rubbish' });
    await complains(/--tls-cert-file .* holds no certificate/);
    lab.clock.offsetMilliseconds = -3 * 365 * 86_400_000;
    const expired = await lab.newServerCertificate(authority, ['hub.example']);
    lab.clock.offsetMilliseconds = 0;
    put(expired);
    await complains(/has expired/);
    assert.ok(await isOld());
    put(other);
    await eventually(async () => (await shownCertificate(lab.hub.url)) === fingerprint(other.certificate));
    assert.doesNotMatch(JSON.stringify(lab.lines), /PRIVATE KEY/);
  });

  test('wrong files keep a hub from starting, with the name of the flag', async (t) => {
    const lab = new AuthenticationLab(t);
    const authority = await lab.newAuthority();
    const good = await lab.newServerCertificate(authority, ['hub.example']);
    writeFileSync(lab.file('tls.crt'), good.certificate);
    writeFileSync(lab.file('ca.key'), authority.key);
    const refuses = (options: Parameters<AuthenticationLab['start']>[0], message: RegExp) =>
      assert.rejects(lab.start(options), (e) => e instanceof HubOptionError && message.test(e.message));
    const tlsCertFile = lab.file('tls.crt');
    await refuses({ tlsCertFile }, /--tls-cert-file and --tls-private-key-file/);
    await refuses(
      { tlsCertFile, tlsPrivateKeyFile: lab.file('none') },
      /--tls-private-key-file .*none cannot be read/,
    );
    await refuses({ tlsCertFile, tlsPrivateKeyFile: lab.file('ca.key') }, /does not go with/);
    await refuses(
      { tlsCertFile: lab.file('ca.key'), tlsPrivateKeyFile: lab.file('ca.key') },
      /holds no certificate/,
    );
    await refuses({ clientCaFile: lab.file('ca.key') }, /--client-ca-file .* holds no certificate/);
  });

  test('clients of other authorities are known as long as the file names those, on open connections too', async (t) => {
    const lab = new AuthenticationLab(t);
    const [one, two] = [await lab.newAuthority(), await lab.newAuthority()];
    const clientCaFile = lab.file('clients.crt');
    writeFileSync(clientCaFile, one.certificate);
    await lab.start({ clientCaFile });
    const own = lab.connect(await lab.newClientCertificate(lab.ownAuthority, boss));
    const first = lab.connect(await lab.newClientCertificate(one, boss));
    assert.equal(userOf(await lab.whoAmI(first)).username, 'boss');
    const stranger = await lab.newClientCertificate(two, boss);
    assert.equal((await lab.whoAmI(lab.connect(stranger))).status, 401);

    writeFileSync(clientCaFile, two.certificate);
    await eventually(async () => (await lab.whoAmI(first)).status === 401);
    assert.equal((await lab.whoAmI(lab.connect(stranger))).status, 201);
    assert.equal((await lab.whoAmI(own)).status, 201);
  });

  test('a certificate that expires on an open connection is refused from then on', async (t) => {
    const lab = new AuthenticationLab(t);
    await lab.start();
    const session = lab.connect(await lab.newClientCertificate(lab.ownAuthority, boss, 600_000));
    assert.equal((await lab.whoAmI(session)).status, 201);
    lab.clock.offsetMilliseconds = 601_000;
    assert.equal((await lab.whoAmI(session)).status, 401);
  });

  test('a certificate of our own that is renewed beside the running hub is taken', async (t) => {
    const lab = new AuthenticationLab(t);
    await lab.start();
    const before = await shownCertificate(lab.hub.url);
    const logger = createLogger({ level: 'silent' });
    const certificates = new HubCertificates({ dataDirectory: lab.data, clock: lab.clock, logger });
    const [keyFile = '', certificateFile = ''] = await certificates.renew('server');
    assert.ok(keyFile.endsWith('server.key'));
    const renewed = fingerprint(readFileSync(certificateFile, 'utf8'));
    assert.notEqual(renewed, before);
    await eventually(async () => (await shownCertificate(lab.hub.url)) === renewed);
  });
});
