import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { namespaces } from '@selvedge/api';
import { createLogger } from '@selvedge/api/node';
import { type CertificateReport, startHub } from '@selvedge/hub';
import { createHttpClient, loadKubeconfig } from '@selvedge/kube';
import { runCaptured } from '../testing/run-captured.ts';

const options = { listen: '127.0.0.1:0', logger: createLogger({ level: 'silent' }) };

describe('selvedge hub cert', { concurrency: false }, () => {
  let directory: string;
  let data: string;
  before(async () => {
    directory = mkdtempSync(join(tmpdir(), 'selvedge-cert-'));
    data = join(directory, 'data');
    const hub = await startHub({ data, ...options });
    await hub.close();
  });
  after(() => rmSync(directory, { recursive: true }));

  const run = (...args: string[]) => runCaptured(['hub', 'cert', ...args, '--data', data]);
  const show = async () => JSON.parse((await run('show', '-o', 'json')).stdout) as CertificateReport[];

  test('show prints a line for each, and exits 1 when one is of no use', async () => {
    const { code, stdout } = await run('show');
    assert.equal(code, 0);
    assert.match(stdout, /^NAME +SUBJECT +ISSUER +NOT BEFORE +NOT AFTER +DAYS LEFT +STATE\n/);
    assert.match(stdout, /\nadmin +O=system:masters, CN=admin +CN=selvedge hub, .* +364 +good\n/);
    assert.match(stdout, /for localhost, 127\.0\.0\.1/);
    const path = join(data, 'keys', 'server.crt');
    const good = readFileSync(path);
    writeFileSync(path, 'rubbish');
    const damaged = await run('show');
    assert.equal(damaged.code, 1);
    assert.match(damaged.stdout, /\nserver .* damaged/);
    writeFileSync(path, good);
  });

  test('renew makes new ones, the server and the admin by itself, and the hub starts with them', async () => {
    const before = await show();
    const { code, stdout, stderr } = await run('renew');
    assert.equal(code, 0);
    assert.match(stdout, /server renewed: .*server\.crt\nadmin renewed: .*admin\.kubeconfig/);
    assert.match(stderr, /without|within seconds/);
    const changed = (await show()).map(({ fingerprint }, i) => fingerprint !== before[i]?.fingerprint);
    assert.deepEqual(changed, [false, true, true]);
    assert.equal((await run('renew', 'ca', 'service-account')).code, 0);
    const renewed = await show();
    const hub = await startHub({ data, ...options });
    await hub.close();
    assert.deepEqual(await show(), renewed, 'the hub has nothing to mend');
  });

  test('issue writes a kubeconfig that the hub knows, and never over a file', async () => {
    const out = join(directory, 'ann.kubeconfig');
    const hub = await startHub({ data, ...options });
    try {
      const issued = await run('issue', '--user', 'ann', '--group', 'system:masters', '--out', out);
      assert.equal(issued.code, 0);
      assert.equal(issued.stdout, `${out}\n`);
      assert.match(issued.stderr, /system:masters may do everything/);
      assert.equal(statSync(out).mode & 0o777, 0o600);
      const client = createHttpClient({ kubeconfig: await loadKubeconfig(out) });
      assert.ok(await client.get(namespaces, { name: 'default' }));
      await client.close();
    } finally {
      await hub.close();
    }
    const again = await run('issue', '--user', 'ann', '--out', out);
    assert.equal(again.code, 2);
    assert.match(again.stderr, /is there already/);
  });

  test('wrong wishes and folders are told', async () => {
    const out = join(directory, 'x.kubeconfig');
    const wrong = await run('issue', '--user', 'system:x', '--out', out);
    assert.equal(wrong.code, 1);
    assert.match(wrong.stderr, /part of the system/);
    assert.equal((await run('renew', 'everything')).code, 2);
    assert.equal((await run('issue', '--out', out)).code, 2);
    const elsewhere = await runCaptured(['hub', 'cert', 'show', '--data', directory]);
    assert.equal(elsewhere.code, 1);
    assert.match(elsewhere.stderr, /is not the data directory of a hub/);
    assert.equal((await runCaptured(['hub', 'cert', 'show'])).code, 2);
  });
});
