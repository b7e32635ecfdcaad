import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { certificateNames, HubOptionError, hubUrls, localUrl, resolveHubOptions } from './hub-options.ts';

const base = { data: '/tmp/x', logLevel: 'silent' };

describe('hub options', () => {
  test('defaults: every address, port 6480, polls of 50 s', () => {
    const options = resolveHubOptions(base);
    assert.equal(options.host, '0.0.0.0');
    assert.equal(options.port, 6480);
    assert.equal(options.syncWaitSeconds, 50);
    assert.deepEqual(options.removalLimits, { sites: 3, percent: 10 });
    assert.equal(localUrl(options, 6480), 'https://127.0.0.1:6480');
    assert.deepEqual(hubUrls(options, 6480), [`https://${options.machineName}:6480`]);
  });

  test('advertised addresses go into tokens and into the certificate', () => {
    const advertise = ['https://Hub.Example', 'https://10.1.2.3:8443/', 'https://[fd00::1]:1'];
    const options = resolveHubOptions({ ...base, listen: '[::1]:0', advertise });
    assert.deepEqual(hubUrls(options, 1), [
      'https://hub.example',
      'https://10.1.2.3:8443',
      'https://[fd00::1]:1',
    ]);
    assert.equal(localUrl(options, 99), 'https://[::1]:99');
    const names = certificateNames(options);
    for (const name of ['localhost', '127.0.0.1', '::1', 'hub.example', '10.1.2.3', 'fd00::1']) {
      assert.ok(names.includes(name), name);
    }
    assert.equal(new Set(names).size, names.length);
  });

  test('the address for other hubs is an origin, and taken as it is', () => {
    assert.equal(resolveHubOptions(base).peerUrl, undefined);
    for (const peerUrl of ['https://10.0.0.7:6480', 'https://[fd00::1]:1', 'https://hub-2.example']) {
      assert.equal(resolveHubOptions({ ...base, peerUrl }).peerUrl?.origin, peerUrl);
    }
  });

  test('what is wrong is named by its flag', () => {
    const wrong: [object, RegExp][] = [
      [{ peerUrl: '10.0.0.7:6480' }, /--peer-url .*"10\.0\.0\.7:6480"/],
      [{ peerUrl: 'http://10.0.0.7:6480' }, /--peer-url/],
      [{ peerUrl: 'https://10.0.0.7:6480/hub' }, /--peer-url/],
      [{ peerUrl: 'https://10.0.0.7:6480?x=1' }, /--peer-url/],
      [{ peerUrl: 'https://me:secret@10.0.0.7:6480' }, /--peer-url/],
      [{ peerUrl: '' }, /--peer-url/],
      [{ data: ' ' }, /--data/],
      [{ listen: '6480' }, /--listen/],
      [{ listen: 'host:99999' }, /--listen/],
      [{ listen: 'http://host:1' }, /--listen/],
      [{ advertise: ['http://hub.example'] }, /--advertise/],
      [{ advertise: ['https://hub.example/path'] }, /--advertise/],
      [{ advertise: ['hub.example:6480'] }, /--advertise/],
      [{ advertise: ['https://user:pw@hub.example'] }, /--advertise/],
      [{ syncWait: '50' }, /--sync-wait/],
      [{ syncWait: '0s' }, /--sync-wait/],
      [{ syncWait: '11m' }, /--sync-wait/],
      [{ logLevel: 'loud' }, /--log-level/],
      [{ maxRequestsInflight: '0' }, /--max-requests-inflight/],
      [{ maxWatches: 'many' }, /--max-watches/],
      [{ maxConnections: '-1' }, /--max-connections/],
      [{ shutdownDelay: '1h' }, /--shutdown-delay/],
      [{ shutdownDelay: 'soon' }, /--shutdown-delay/],
      [{ auditLogPath: '' }, /--audit-log-path/],
      [{ auditLogPath: 'none', auditPolicyFile: 'x' }, /--audit-policy-file/],
      [{ auditLogMaxsize: '1.5' }, /--audit-log-maxsize/],
      [{ auditLogMaxbackup: 'all' }, /--audit-log-maxbackup/],
      [{ removalGuardSites: '-1' }, /--removal-guard-sites/],
      [{ removalGuardPercent: '101' }, /--removal-guard-percent/],
    ];
    for (const [over, message] of wrong) {
      assert.throws(
        () => resolveHubOptions({ ...base, ...over }),
        (e) => e instanceof HubOptionError && message.test(e.message),
        JSON.stringify(over),
      );
    }
  });
});
