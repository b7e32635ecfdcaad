import assert from 'node:assert/strict';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { type GitSshServer, requireTool, startGitSshServer } from '@selvedge/testkit';
import { GitLab } from './testing/git-lab.ts';
import { hasFault } from './testing/has-fault.ts';

const needsSsh = requireTool('git', 'ssh', 'sshd', 'ssh-keygen');

let lab: GitLab;
let ssh: GitSshServer;
let url: string;
let commit: string;
before(async () => {
  if (needsSsh.skip !== false) return;
  lab = await GitLab.start();
  ssh = await startGitSshServer(join(lab.folder, 'sshd'));
  const repository = lab.repository();
  commit = repository.commit({ 'app/a.yaml': '1', 'b.yaml': '2' });
  url = ssh.url(repository.folder);
});
after(async () => {
  await ssh?.close();
  await lab?.close();
});

const source = (extra = {}) => ({ url, secretRef: { name: 'ssh' }, path: 'app', ...extra });

test('over ssh with a key, from a host whose key is known', needsSsh, async () => {
  lab.setSecret('ssh', { identity: ssh.identity, known_hosts: ssh.knownHosts });
  const read = await lab.read(lab.openHub(), source());
  assert.deepEqual(read, { revision: `main@sha1:${commit}`, files: { 'app/a.yaml': '1' } });
});

test('known hosts of the source count as those of the Secret do', needsSsh, async () => {
  lab.setSecret('ssh', { identity: ssh.identity });
  const read = await lab.read(lab.openHub(), source({ knownHosts: ssh.knownHosts }));
  assert.deepEqual(read.files, { 'app/a.yaml': '1' });
});

test('a key under a passphrase is opened with identity.password', needsSsh, async () => {
  const locked = { identity: ssh.lockedIdentity, known_hosts: ssh.knownHosts };
  lab.setSecret('ssh', { ...locked, 'identity.password': ssh.passphrase });
  assert.deepEqual((await lab.read(lab.openHub(), source())).files, { 'app/a.yaml': '1' });
  for (const data of [locked, { ...locked, 'identity.password': 'wrong' }]) {
    lab.setSecret('ssh', data);
    await assert.rejects(
      lab.read(lab.openHub(), source()),
      hasFault('AuthenticationFailed', /passphrase|Permission denied/),
    );
  }
});

test('no unknown host is trusted, and no key but that of the Secret is offered', needsSsh, async () => {
  const hub = lab.openHub();
  lab.setSecret('ssh', { identity: ssh.identity });
  await assert.rejects(lab.read(hub, source()), hasFault('ReferenceMissing', /ssh-keyscan -p \d+ 127.0.0.1/));
  lab.setSecret('ssh', { known_hosts: ssh.knownHosts });
  await assert.rejects(lab.read(hub, source()), hasFault('ReferenceMissing', /private key in "identity"/));
  const other = await startGitSshServer(join(lab.folder, 'other'));
  try {
    const foreignKey = ssh.knownHosts.replace(/ssh-ed25519 .*/, other.knownHosts.replace(/^\S+ /, ''));
    lab.setSecret('ssh', { identity: ssh.identity, known_hosts: foreignKey });
    await assert.rejects(
      lab.read(hub, source()),
      hasFault('AuthenticationFailed', /host key of 127.0.0.1 is none of those/),
    );
    lab.setSecret('ssh', { identity: other.identity, known_hosts: ssh.knownHosts });
    await assert.rejects(
      lab.read(hub, source()),
      hasFault('AuthenticationFailed', /does not take the ssh key/),
    );
    lab.setSecret('ssh', { identity: 'no key', known_hosts: ssh.knownHosts });
    await assert.rejects(
      lab.read(hub, source()),
      hasFault('AuthenticationFailed', /private key in "identity".*cannot be read/),
    );
  } finally {
    await other.close();
  }
});

test('a repository that is not there, or gone, is told', needsSsh, async () => {
  lab.setSecret('ssh', { identity: ssh.identity, known_hosts: ssh.knownHosts });
  const gone = source({ url: `${url}-gone` });
  await assert.rejects(lab.read(lab.openHub(), gone), hasFault('NotFound', /has no such repository/));
});

test('a repository by its ssh address in the short form is read', needsSsh, async () => {
  lab.setSecret('ssh', { identity: ssh.identity, known_hosts: ssh.knownHosts });
  // The short form has no port, so nobody answers at the usual one with this key.
  const short = source({ url: 'nobody@127.0.0.1:shop.git' });
  await assert.rejects(lab.read(lab.openHub(), short), (error: Error) => /127\.0\.0\.1/.test(error.message));
});
