import assert from 'node:assert/strict';
import { X509Certificate } from 'node:crypto';
import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, test, type TestContext } from 'node:test';
import { createLogger, keyFingerprint, systemClock } from '@selvedge/api/node';
import { FakeClock } from '@selvedge/testkit';
import { lockDataDirectory } from './data-lock.ts';
import { openHubIdentity } from './hub-identity.ts';

const logger = createLogger({ level: 'silent' });
const names = ['localhost', '127.0.0.1', '::1', 'hub.example'];

function temporaryDirectory(t: TestContext): string {
  const directory = mkdtempSync(join(tmpdir(), 'selvedge-identity-'));
  t.after(() => rmSync(directory, { recursive: true, force: true }));
  return directory;
}

function open(dataDirectory: string, clock = new FakeClock('2026-03-01T00:00:00.000Z')) {
  return openHubIdentity({ dataDirectory, clock, logger });
}

describe('hub identity', () => {
  test('the first start makes everything, private; later starts find the same', async (t) => {
    const directory = temporaryDirectory(t);
    const first = await open(directory);
    const pair = await first.serverCertificate(names);
    const kubeconfigPath = await first.writeAdminKubeconfig({
      server: 'https://127.0.0.1:6480',
      authorities: first.caCertificate,
    });
    const again = await open(directory);
    assert.equal(again.hubId, first.hubId);
    assert.equal(again.fleetKey.publicKey, first.fleetKey.publicKey);
    assert.equal(again.fleetKey.fingerprint, keyFingerprint(first.fleetKey.publicKey));
    assert.equal(again.caCertificate, first.caCertificate);
    assert.deepEqual(again.storeKeys, first.storeKeys);
    assert.equal(again.storeKeys.active.length, 32);
    assert.equal(again.enrollmentSecret('uid'), first.enrollmentSecret('uid'));
    assert.deepEqual(await again.serverCertificate(names), pair);
    assert.equal(statSync(join(directory, 'keys')).mode & 0o777, 0o700);
    for (const name of readdirSync(join(directory, 'keys'))) {
      assert.equal(statSync(join(directory, 'keys', name)).mode & 0o777, 0o600, name);
    }
    assert.equal(statSync(kubeconfigPath).mode & 0o777, 0o600);
  });

  test('the server certificate comes from the CA, names every address and is for servers', async (t) => {
    const identity = await open(temporaryDirectory(t));
    const server = new X509Certificate((await identity.serverCertificate(names)).certificate);
    const authority = new X509Certificate(identity.caCertificate);
    assert.ok(server.checkIssued(authority) && server.verify(authority.publicKey));
    assert.ok(server.checkHost('hub.example') && server.checkHost('localhost'));
    assert.ok(server.checkIP('127.0.0.1') && server.checkIP('::1'));
    assert.equal(server.checkHost('elsewhere.example'), undefined);
    assert.deepEqual(server.keyUsage, ['1.3.6.1.5.5.7.3.1']);
    assert.ok(authority.ca);
  });

  test('the kubeconfig is that of CN=admin, O=system:masters', async (t) => {
    const identity = await open(temporaryDirectory(t));
    const path = await identity.writeAdminKubeconfig({
      server: 'https://127.0.0.1:1',
      authorities: identity.caCertificate,
    });
    const config = JSON.parse(readFileSync(path, 'utf8'));
    assert.equal(config.clusters[0].cluster.server, 'https://127.0.0.1:1');
    const pem = Buffer.from(config.users[0].user['client-certificate-data'], 'base64').toString();
    assert.equal(new X509Certificate(pem).subject, 'O=system:masters\nCN=admin');
    await identity.writeAdminKubeconfig({
      server: 'https://127.0.0.1:2',
      authorities: identity.caCertificate,
    });
    assert.match(readFileSync(path, 'utf8'), /https:\/\/127\.0\.0\.1:2"/);
  });

  test('the server certificate is renewed when 30 days are left, by the same CA', async (t) => {
    const directory = temporaryDirectory(t);
    const clock = new FakeClock('2026-03-01T00:00:00.000Z');
    const identity = await open(directory, clock);
    const first = await identity.serverCertificate(names);
    clock.setTime('2027-01-29T00:00:00.000Z');
    assert.equal((await identity.serverCertificate(names)).certificate, first.certificate);
    clock.setTime('2027-02-01T00:00:00.000Z');
    const renewed = new X509Certificate((await identity.serverCertificate(names)).certificate);
    assert.notEqual(renewed.toString(), first.certificate.trim());
    assert.ok(renewed.validToDate > new Date('2028-01-01'));
    assert.ok(renewed.verify(new X509Certificate(identity.caCertificate).publicKey));
  });

  test('the server certificate is issued again when a name is added or taken away, or when it is damaged', async (t) => {
    const directory = temporaryDirectory(t);
    const identity = await open(directory);
    const first = await identity.serverCertificate(names);
    const more = await identity.serverCertificate([...names, '10.0.0.7']);
    assert.ok(new X509Certificate(more.certificate).checkIP('10.0.0.7'));
    const fewer = await identity.serverCertificate(names);
    assert.notEqual(fewer.certificate, more.certificate);
    assert.notEqual(fewer.certificate, first.certificate);
    writeFileSync(join(directory, 'keys', 'server.crt'), 'rubbish');
    assert.ok(
      new X509Certificate((await identity.serverCertificate(names)).certificate).checkIP('127.0.0.1'),
    );
  });

  test('a key file that others may read is refused, with the command that mends it', async (t) => {
    const directory = temporaryDirectory(t);
    await open(directory);
    for (const name of ['fleet.key', 'ca.key', 'store.key', 'enroll.key', 'hub-id']) {
      const path = join(directory, 'keys', name);
      chmodSync(path, 0o640);
      await assert.rejects(open(directory), (e: Error) => e.message.includes(`chmod 600 ${path}`));
      chmodSync(path, 0o600);
    }
    await open(directory);
  });

  test('a damaged or missing key file is refused and left as it is', async (t) => {
    const directory = temporaryDirectory(t);
    await open(directory);
    for (const name of ['fleet.key', 'ca.key', 'ca.crt', 'store.key', 'enroll.key', 'hub-id']) {
      const path = join(directory, 'keys', name);
      const good = readFileSync(path);
      writeFileSync(path, 'rubbish');
      await assert.rejects(open(directory), /is damaged.*restore it from a backup/, name);
      assert.equal(readFileSync(path, 'utf8'), 'rubbish');
      rmSync(path);
      await assert.rejects(open(directory), /is missing: restore it from a backup/, name);
      assert.ok(!existsSync(path));
      writeFileSync(path, good, { mode: 0o600 });
    }
    await open(directory);
  });

  test('another layout of the directory is told by its number', async (t) => {
    const directory = temporaryDirectory(t);
    await open(directory);
    const path = join(directory, 'keys', 'hub-id');
    writeFileSync(path, readFileSync(path, 'utf8').replace('selvedge-hub 1', 'selvedge-hub 2'));
    await assert.rejects(open(directory), /made by another version of the hub/);
  });

  test('a store without keys is not given new ones', async (t) => {
    const directory = temporaryDirectory(t);
    writeFileSync(join(directory, 'store.db'), '');
    await assert.rejects(open(directory), /restore keys\/ from a backup/);
    assert.ok(!existsSync(join(directory, 'keys')));
  });

  test('what a killed first start left is cleared away', async (t) => {
    const directory = temporaryDirectory(t);
    mkdirSync(join(directory, 'keys.unfinished-00'));
    await open(directory);
    assert.deepEqual(readdirSync(directory), ['keys']);
  });

  test('an enrolment secret fits its own token only', async (t) => {
    const identity = await openHubIdentity({
      dataDirectory: temporaryDirectory(t),
      clock: systemClock,
      logger,
    });
    const secret = identity.enrollmentSecret('a');
    assert.ok(identity.isEnrollmentSecret('a', secret));
    assert.ok(!identity.isEnrollmentSecret('b', secret));
    assert.ok(!identity.isEnrollmentSecret('a', ''));
    assert.ok(secret.length >= 43);
  });

  test('a data directory in use is refused until it is let go', (t) => {
    const directory = temporaryDirectory(t);
    const lock = lockDataDirectory(directory);
    assert.throws(() => lockDataDirectory(directory), /in use by another hub/);
    lock.release();
    lockDataDirectory(directory).release();
  });
});
