import assert from 'node:assert/strict';
import { X509Certificate } from 'node:crypto';
import { chmodSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, test, type TestContext } from 'node:test';
import { createLogger } from '@selvedge/api/node';
import { FakeClock } from '@selvedge/testkit';
import { HubCertificates } from './certificates.ts';
import { openHubIdentity } from './hub-identity.ts';
import { DataDirectoryError } from './private-file.ts';

const logger = createLogger({ level: 'silent' });

/** A data directory as a hub leaves it. */
async function startLab(t: TestContext) {
  const dataDirectory = mkdtempSync(join(tmpdir(), 'selvedge-certificates-'));
  t.after(() => rmSync(dataDirectory, { recursive: true }));
  const clock = new FakeClock('2026-03-01T00:00:00.000Z');
  const identity = await openHubIdentity({ dataDirectory, clock, logger });
  await identity.serverCertificate(['localhost', '::1', 'hub.example']);
  const access = { server: 'https://127.0.0.1:6480', authorities: identity.caCertificate };
  await identity.writeAdminKubeconfig(access);
  const certificates = new HubCertificates({ dataDirectory, clock, logger });
  const read = (name: string) => readFileSync(join(dataDirectory, name), 'utf8');
  const x509 = (name: string) => new X509Certificate(read(`keys/${name}.crt`));
  return { dataDirectory, clock, identity, access, certificates, read, x509 };
}

const wish = { user: 'ann', groups: ['dev', 'ops'], life: '30d' };
const refuses = (promise: Promise<unknown>, message: RegExp) =>
  assert.rejects(promise, (e) => e instanceof DataDirectoryError && message.test(e.message));

interface KubeconfigText {
  clusters: [{ cluster: { server: string; 'certificate-authority-data': string } }];
  users: [{ user: { 'client-certificate-data': string; 'client-key-data': string } }];
}
const certificateOf = (kubeconfig: string) => {
  const { users } = JSON.parse(kubeconfig) as KubeconfigText;
  return new X509Certificate(Buffer.from(users[0].user['client-certificate-data'], 'base64'));
};

describe('certificates of a hub', () => {
  test('each is shown with whose it is, by whom and how long', async (t) => {
    const { clock, certificates, x509 } = await startLab(t);
    const [ca, server, admin] = await certificates.list();
    assert.equal(ca?.subject, ca?.issuer);
    assert.deepEqual(server?.names, ['localhost', '0:0:0:0:0:0:0:1', 'hub.example']);
    assert.equal(server?.issuer, ca?.subject);
    assert.equal(server?.notAfter, '2027-03-01T00:00:00.000Z');
    assert.equal(server?.daysLeft, 365);
    assert.equal(server?.fingerprint, x509('server').fingerprint256);
    assert.equal(admin?.subject, 'O=system:masters, CN=admin');
    clock.setTime('2028-03-01T00:00:00.000Z');
    assert.deepEqual(
      (await certificates.list()).map(({ problem }) => problem),
      [undefined, 'expired', 'expired'],
    );
    clock.setTime('2020-03-01T00:00:00.000Z');
    assert.equal((await certificates.list())[1]?.problem, 'not valid yet');
  });

  test('a damaged one is shown as such', async (t) => {
    const { certificates, dataDirectory } = await startLab(t);
    writeFileSync(join(dataDirectory, 'keys/server.crt'), 'rubbish');
    assert.match((await certificates.list())[1]?.problem ?? '', /^damaged/);
    await refuses(certificates.renew('server'), /start the hub/);
  });

  test('the server is renewed with the names that it has, and the hub finds nothing to mend', async (t) => {
    const { certificates, identity, x509 } = await startLab(t);
    const before = x509('server');
    await certificates.renew('server');
    const after = x509('server');
    assert.notEqual(after.fingerprint256, before.fingerprint256);
    assert.equal(after.subjectAltName, before.subjectAltName);
    const { certificate } = await identity.serverCertificate(['localhost', '::1', 'hub.example']);
    assert.equal(new X509Certificate(certificate).fingerprint256, after.fingerprint256);
  });

  test('the admin is renewed together with the kubeconfig, as the hub would write it', async (t) => {
    const { certificates, identity, access, read, x509 } = await startLab(t);
    const before = x509('admin').fingerprint256;
    const files = await certificates.renew('admin');
    assert.ok(files.some((file) => file.endsWith('admin.kubeconfig')));
    const kubeconfig = read('admin.kubeconfig');
    assert.equal(certificateOf(kubeconfig).fingerprint256, x509('admin').fingerprint256);
    assert.notEqual(x509('admin').fingerprint256, before);
    await identity.writeAdminKubeconfig(access);
    assert.equal(read('admin.kubeconfig'), kubeconfig);
  });

  test('the authority is renewed with its key: what it issued is good under the old one and the new one', async (t) => {
    const { certificates, clock, x509, dataDirectory } = await startLab(t);
    const old = x509('ca');
    clock.setTime('2040-03-01T00:00:00.000Z');
    await certificates.renew('ca');
    await certificates.renew('server');
    const renewed = x509('ca');
    assert.ok(renewed.validToDate > new Date('2060-01-01'));
    assert.equal(renewed.subject, old.subject);
    for (const authority of [old, renewed]) {
      for (const leaf of [x509('server'), x509('admin')]) {
        assert.ok(leaf.checkIssued(authority) && leaf.verify(authority.publicKey));
      }
    }
    await openHubIdentity({ dataDirectory, clock, logger });
  });

  test('a new user gets a kubeconfig of their own', async (t) => {
    const { certificates, identity } = await startLab(t);
    const text = await certificates.issue(wish);
    const certificate = certificateOf(text);
    assert.equal(certificate.subject, 'O=dev\nO=ops\nCN=ann');
    assert.equal(certificate.validToDate.toISOString(), '2026-03-31T00:00:00.000Z');
    assert.deepEqual(certificate.keyUsage, ['1.3.6.1.5.5.7.3.2']);
    assert.ok(certificate.verify(new X509Certificate(identity.caCertificate).publicKey));
    const { clusters } = JSON.parse(text) as KubeconfigText;
    assert.equal(clusters[0].cluster.server, 'https://127.0.0.1:6480');
    const elsewhere = await certificates.issue({ ...wish, server: 'https://hub.example' });
    assert.equal((JSON.parse(elsewhere) as KubeconfigText).clusters[0].cluster.server, 'https://hub.example');
  });

  test('wrong wishes are refused', async (t) => {
    const { certificates, dataDirectory } = await startLab(t);
    const issue = (over: object) => certificates.issue({ ...wish, ...over });
    await refuses(issue({ user: '' }), /cannot be a name/);
    await refuses(issue({ user: 'x'.repeat(65) }), /cannot be a name/);
    await refuses(issue({ groups: ['a\nb'] }), /cannot be a name/);
    await refuses(issue({ user: 'system:admin' }), /part of the system/);
    await refuses(issue({ groups: ['system:nodes'] }), /part of the system/);
    await refuses(issue({ life: 'long' }), /must be a duration/);
    await refuses(issue({ life: '5m' }), /at least 10 minutes/);
    await refuses(issue({ life: '9000d' }), /authority itself ends/);
    await refuses(issue({ server: 'http://x' }), /https:/);
    writeFileSync(join(dataDirectory, 'admin.kubeconfig'), 'kind: Config');
    await refuses(issue({}), /not as the hub wrote it.*--server/);
    rmSync(join(dataDirectory, 'admin.kubeconfig'));
    await refuses(issue({}), /is missing.*--server/);
    chmodSync(join(dataDirectory, 'keys/ca.key'), 0o644);
    await refuses(issue({}), /chmod 600/);
  });

  test('a folder that is none of a hub is told as such', async (t) => {
    const { clock } = await startLab(t);
    assert.throws(
      () => new HubCertificates({ dataDirectory: tmpdir(), clock, logger }),
      /is not the data directory of a hub/,
    );
  });
});
