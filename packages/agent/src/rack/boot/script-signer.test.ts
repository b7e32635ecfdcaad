import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { copyFile, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { getTool, requireTool } from '@selvedge/testkit';
import { ScriptSigner } from './script-signer.ts';
import { BootBench } from './testing/boot-bench.ts';

const question = '/ipxe/decide?mac=52:54:00:aa:bb:01&platform=pcbios&arch=i386';

describe('signed scripts', requireTool('openssl'), () => {
  let folder: string;
  let bench: BootBench;
  const file = (name: string) => join(folder, name);
  const openssl = (...args: string[]) => execFileSync(getTool('openssl'), args, { stdio: 'pipe' });

  before(async () => {
    folder = await mkdtemp(join(tmpdir(), 'svg-sign-'));
    openssl(
      'req',
      '-x509',
      '-newkey',
      'rsa:2048',
      '-nodes',
      '-days',
      '2',
      '-subj',
      '/CN=root',
      '-keyout',
      file('root.key'),
      '-out',
      file('root.crt'),
    );
    openssl(
      'req',
      '-newkey',
      'rsa:2048',
      '-nodes',
      '-subj',
      '/CN=scripts',
      '-keyout',
      file('sign.key'),
      '-out',
      file('sign.csr'),
    );
    await writeFile(file('extensions'), 'extendedKeyUsage=codeSigning\n');
    openssl(
      'x509',
      '-req',
      '-days',
      '2',
      '-in',
      file('sign.csr'),
      '-CA',
      file('root.crt'),
      '-CAkey',
      file('root.key'),
      '-extfile',
      file('extensions'),
      '-out',
      file('sign.crt'),
    );
    await writeFile(
      file('chain.pem'),
      Buffer.concat([openssl('x509', '-in', file('sign.crt')), openssl('x509', '-in', file('root.crt'))]),
    );
    const signer = await ScriptSigner.open({ keyFile: file('sign.key'), certificateFile: file('chain.pem') });
    bench = await BootBench.start({ signer });
  });
  after(async () => {
    await bench.close();
    await rm(folder, { recursive: true, force: true });
  });

  test('lead to the rack itself, whatever the asker calls it', async () => {
    for (const path of ['/ipxe/boot.ipxe', '/ipxe/boot.ipxe.sig', question]) {
      assert.equal((await bench.ask(path, { headers: { host: 'evil.test:80' } })).status, 421, path);
    }
    const { body } = await bench.ask('/ipxe/boot.ipxe', { headers: { host: '127.0.0.1:81' } });
    assert.ok(body.includes(`${bench.url}/ipxe/decide`) && !body.includes(':81'), body);
  });

  /** As another program sees it: the root is all that it trusts. */
  const verify = async (content: string | Buffer, signature: Buffer) => {
    await writeFile(file('content'), content);
    await writeFile(file('content.sig'), signature);
    return openssl(
      'cms',
      '-verify',
      '-binary',
      '-inform',
      'DER',
      '-in',
      file('content.sig'),
      '-content',
      file('content'),
      '-CAfile',
      file('root.crt'),
      '-purpose',
      'any',
      '-out',
      file('out'),
    );
  };
  const fetchBytes = async (path: string) => {
    const answer = await fetch(`${bench.url}${path}`);
    assert.equal(answer.status, 200, path);
    return Buffer.from(await answer.arrayBuffer());
  };

  test('every script and file of the system has a signature that openssl takes, for these very bytes', async () => {
    bench.desk.decisions = [{ boot: 'System', nonce: 'once-only', kernelArguments: [] }];
    for (const path of [
      '/ipxe/boot.ipxe',
      '/ipxe/refused.ipxe',
      '/system/amd64/vmlinuz',
      '/system/amd64/initrd.img',
    ]) {
      await verify(await fetchBytes(path), await fetchBytes(`${path}.sig`));
    }
    const script = await fetchBytes(question);
    const signature = await fetchBytes(question.replace('decide', 'decide.sig'));
    await verify(script, signature);
    assert.equal(
      bench.desk.requests.length,
      1,
      'the signature is for the script that was told, not for another',
    );
    const changed = Buffer.from(script.toString('utf8').replace('once-only', 'once-more'));
    await assert.rejects(verify(changed, signature));
  });

  test('a system file that was replaced is signed anew', async () => {
    const before = await fetchBytes('/system/amd64/vmlinuz.sig');
    await writeFile(join(bench.folder, 'vmlinuz.new'), 'another kernel, longer');
    await copyFile(join(bench.folder, 'vmlinuz.new'), join(bench.folder, 'vmlinuz'));
    const after = await fetchBytes('/system/amd64/vmlinuz.sig');
    assert.notDeepEqual(after, before);
    await verify('another kernel, longer', after);
  });

  test('what was never told has no signature', async () => {
    const path = question.replace('decide', 'decide.sig').replace('bb:01', 'bb:77');
    assert.equal((await bench.ask(path)).status, 404);
    const unsigned = await BootBench.start();
    try {
      assert.equal((await unsigned.ask('/ipxe/boot.ipxe.sig')).status, 404);
    } finally {
      await unsigned.close();
    }
  });

  test('a key that does not fit its certificate is told at the start', async () => {
    await assert.rejects(
      ScriptSigner.open({ keyFile: file('root.key'), certificateFile: file('chain.pem') }),
      /openssl could not sign with/,
    );
  });
});
