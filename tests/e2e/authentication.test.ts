import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { createLogger, systemClock } from '@selvedge/api/node';
import { type Hub, HubCertificates, startHub } from '@selvedge/hub';
import { type OidcIssuer, requireTool, startOidcIssuer } from '@selvedge/testkit';
import { findKubectls, Kubectl } from './kubectl-program.ts';

interface KubeconfigText {
  readonly clusters: readonly object[];
  readonly contexts: readonly object[];
}

describe('kubectl and who it is', { ...requireTool('kubectl'), concurrency: false }, () => {
  const logger = createLogger({ level: 'error' });
  let directory: string;
  let hub: Hub;
  let issuer: OidcIssuer;
  const data = () => join(directory, 'data');

  before(async () => {
    directory = mkdtempSync(join(tmpdir(), 'selvedge-authentication-'));
    issuer = await startOidcIssuer();
    const issuerCa = join(directory, 'issuer.crt');
    writeFileSync(issuerCa, issuer.caCertificate);
    hub = await startHub({
      data: data(),
      listen: '127.0.0.1:0',
      logger,
      bootstrapToken: 'on',
      oidcIssuerUrl: issuer.url,
      oidcClientId: 'selvedge',
      oidcUsernamePrefix: 'id:',
      oidcGroupsClaim: 'groups',
      oidcGroupsPrefix: 'id:',
      oidcCaFile: issuerCa,
    });
  });
  after(async () => {
    await hub.close();
    await issuer.close();
    rmSync(directory, { recursive: true });
  });

  const write = (name: string, text: string) => {
    const path = join(directory, name);
    writeFileSync(path, text, { mode: 0o600 });
    return path;
  };

  /** The kubeconfig of the administrator, with a token instead of the certificate. */
  function kubeconfigWithToken(name: string, token: string): string {
    const config = JSON.parse(readFileSync(hub.kubeconfigPath, 'utf8')) as KubeconfigText;
    return write(name, JSON.stringify({ ...config, users: [{ name: 'admin', user: { token } }] }));
  }

  for (const version of findKubectls().filter(({ minor }) => minor >= 27)) {
    describe(version.version, { concurrency: false }, () => {
      const as = (kubeconfig: string) => new Kubectl(version.path, { kubeconfig, folder: directory });
      const namespace = `who-${version.minor}`;
      const inside = ['-n', namespace];
      let admin: Kubectl;
      before(async () => {
        admin = as(hub.kubeconfigPath);
        await admin.run(['create', 'namespace', namespace]);
        await admin.run(['create', 'serviceaccount', 'robot', ...inside]);
      });

      const whoAmI = async (kubectl: Kubectl) => {
        const text = await kubectl.run(['auth', 'whoami', '-o', 'json']);
        const { status } = JSON.parse(text) as {
          status: { userInfo: { username: string; groups: string[]; uid?: string } };
        };
        return status.userInfo;
      };

      test('whoami by certificate', async () => {
        const { username, groups } = await whoAmI(admin);
        assert.equal(username, 'admin');
        assert.deepEqual(groups, ['system:masters', 'system:authenticated']);
      });

      test('create token, and whoami by it', async () => {
        const token = await admin.run(['create', 'token', 'robot', '--duration=20m', ...inside]);
        const robot = as(kubeconfigWithToken(`robot-${version.minor}`, token));
        const { username, groups, uid } = await whoAmI(robot);
        assert.equal(username, `system:serviceaccount:${namespace}:robot`);
        assert.ok(groups.includes(`system:serviceaccounts:${namespace}`));
        const path = '{.metadata.uid}';
        assert.equal(
          uid,
          await admin.run(['get', 'serviceaccount', 'robot', ...inside, '-o', `jsonpath=${path}`]),
        );
        assert.match(await robot.fail(['get', 'secrets', ...inside]), /forbidden: .*robot" cannot list/i);
      });

      test('create token: audience, bound Secret, and what is refused', async () => {
        const audiences = ['--audience=vault', '--audience=store'];
        const answer = await admin.run(['create', 'token', 'robot', ...audiences, ...inside, '-o', 'json']);
        const { spec } = JSON.parse(answer) as { spec: { audiences: string[]; expirationSeconds: number } };
        assert.deepEqual(spec, {
          audiences: ['vault', 'store'],
          expirationSeconds: 3600,
          boundObjectRef: null,
        });
        const short = await admin.fail(['create', 'token', 'robot', '--duration=5m', ...inside]);
        assert.match(short, /less than 10 minutes/);
        assert.match(await admin.fail(['create', 'token', 'nobody', ...inside]), /"nobody" not found/);

        await admin.run(['create', 'secret', 'generic', 'bound', ...inside]);
        const bind = ['--bound-object-kind=Secret', '--bound-object-name=bound'];
        const token = await admin.run(['create', 'token', 'robot', ...bind, ...inside]);
        const robot = as(kubeconfigWithToken(`bound-${version.minor}`, token));
        assert.match((await whoAmI(robot)).username, /robot$/);
        await admin.run(['delete', 'secret', 'bound', ...inside]);
        assert.match(await robot.fail(['auth', 'whoami']), /logged in|Unauthorized/);
      });

      test('a deleted ServiceAccount is refused at once', async () => {
        await admin.run(['create', 'serviceaccount', 'short', ...inside]);
        const token = await admin.run(['create', 'token', 'short', ...inside]);
        const short = as(kubeconfigWithToken(`short-${version.minor}`, token));
        await whoAmI(short);
        await admin.run(['delete', 'serviceaccount', 'short', ...inside]);
        assert.match(await short.fail(['auth', 'whoami']), /logged in|Unauthorized/);
      });

      test('whoami by an OIDC token', async () => {
        const token = await issuer.token({
          sub: 'alice',
          aud: 'selvedge',
          groups: ['dev', 'system:masters'],
        });
        const { username, groups } = await whoAmI(as(kubeconfigWithToken(`oidc-${version.minor}`, token)));
        assert.equal(username, 'id:alice');
        assert.deepEqual(groups, ['id:dev', 'id:system:masters', 'system:authenticated']);
      });

      test('the bootstrap token does everything', async () => {
        const token = readFileSync(join(data(), 'bootstrap-token'), 'utf8').trim();
        const kubectl = as(kubeconfigWithToken(`bootstrap-${version.minor}`, token));
        assert.deepEqual((await whoAmI(kubectl)).groups, ['system:masters', 'system:authenticated']);
        assert.match(await kubectl.run(['get', 'namespaces']), /default/);
      });

      test('a certificate that was issued for somebody', async () => {
        const certificates = new HubCertificates({ dataDirectory: data(), clock: systemClock, logger });
        const wish = { user: 'ann', groups: ['dev'], life: '1h' };
        const kubeconfig = write(`ann-${version.minor}`, await certificates.issue(wish));
        const { username, groups } = await whoAmI(as(kubeconfig));
        assert.equal(username, 'ann');
        assert.deepEqual(groups, ['dev', 'system:authenticated']);
      });

      test('a wrong token is refused', async () => {
        const kubectl = as(kubeconfigWithToken(`wrong-${version.minor}`, 'wrong'));
        assert.match(await kubectl.fail(['get', 'namespaces']), /logged in|Unauthorized/);
      });
    });
  }
});
