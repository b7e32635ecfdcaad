import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { chmod, mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import {
  agentManifests,
  type KubeObject,
  type Lease,
  leases,
  type Secret,
  resolveInstall,
  secrets,
} from '@selvedge/api';
import { systemClock } from '@selvedge/api/node';
import { ClusterUnderTest, requireTool, startPodmanTestbed } from '@selvedge/testkit';
import { repositoryRoot } from './testing/test-files.ts';

const image = 'localhost/selvedge-agent:test';
const namespace = 'selvedge-system';
const tools = requireTool('podman', 'apt-get', 'dpkg-deb', 'strip');
const paths: Record<string, string> = {
  Namespace: '/api/v1/namespaces',
  ServiceAccount: `/api/v1/namespaces/${namespace}/serviceaccounts`,
  Role: `/apis/rbac.authorization.k8s.io/v1/namespaces/${namespace}/roles`,
  RoleBinding: `/apis/rbac.authorization.k8s.io/v1/namespaces/${namespace}/rolebindings`,
};

/** Of a hub where nobody listens: the agent keeps its key before it asks there. */
const token = `selvedge1.${Buffer.from(
  JSON.stringify({
    hubs: ['https://127.0.0.1:9'],
    fleetKeyFingerprint: `SHA256:${'A'.repeat(43)}`,
    token: 'site-shop',
    secret: 'secret',
  }),
).toString('base64url')}`;

describe('the container image of the agent', tools, () => {
  test('runs as nobody on a read-only disk, and reaches the API of its cluster as its service account', async () => {
    const directory = await mkdtemp(join(tmpdir(), 'svg-image-'));
    await chmod(directory, 0o755);
    const podman = await startPodmanTestbed({ directory: join(directory, 'podman') });
    const cluster = await ClusterUnderTest.start('our api server');
    try {
      const context = join(directory, 'context');
      execFileSync(process.execPath, [join(repositoryRoot, 'tools/build-image.ts'), '--context', context], {
        stdio: 'pipe',
      });
      const file = join(repositoryRoot, 'deploy/image/Containerfile');
      await podman.podman('build', '--quiet', '--timestamp', '0', '--tag', image, '--file', file, context);
      assert.match(await podman.podman('run', '--rm', '--network', 'none', image, '--version'), /^0\.1\.0/);
      assert.equal(
        (await podman.podman('image', 'inspect', '--format', '{{.Config.User}}', image)).trim(),
        '65532:65532',
      );

      const client = cluster.client();
      for (const object of agentManifests(resolveInstall({ rbac: 'minimal' }), token)) {
        const path = paths[object.kind];
        if (path !== undefined) await client.request<KubeObject>({ method: 'POST', path, body: object });
      }
      const mounted = join(directory, 'mounted');
      await mkdir(mounted);
      const access = await cluster.accessForServiceAccount(namespace, 'selvedge-agent');
      const header = (await access.authorization()) ?? '';
      const texts = {
        token: header.slice('Bearer '.length),
        'ca.crt': cluster.ca,
        namespace,
        enrolment: token,
      };
      for (const [name, text] of Object.entries(texts)) await writeFile(join(mounted, name), text);
      const { hostname, port } = new URL(cluster.url);
      const options = [
        '--network=host',
        '--read-only',
        '--cap-drop=ALL',
        '--tmpfs=/var/lib/selvedge:mode=1777',
        `--volume=${mounted}:/var/run/secrets/kubernetes.io/serviceaccount:ro`,
        `--env=KUBERNETES_SERVICE_HOST=${hostname}`,
        `--env=KUBERNETES_SERVICE_PORT=${port}`,
      ];
      const tokenFile = '/var/run/secrets/kubernetes.io/serviceaccount/enrolment';
      const run = ['run', '--in-cluster', '--state-secret', `--token-file=${tokenFile}`];
      await podman.podman('run', '--detach', '--name=agent', ...options, image, ...run);
      const name = 'selvedge-agent-state';
      let kept: Secret | undefined;
      const endMs = performance.now() + 60_000;
      while (kept === undefined && performance.now() < endMs) {
        await systemClock.sleep(200);
        kept = await client.find<Secret>(secrets, { namespace, name });
      }
      const log = await podman.podman('logs', 'agent');
      assert.ok(kept !== undefined, `nothing was kept: ${log}`);
      const lease = await client.get<Lease>(leases, { namespace, name });
      assert.notEqual(lease.spec?.holderIdentity ?? '', '');
    } finally {
      await cluster.close();
      await podman.close();
      await rm(directory, { recursive: true, force: true });
    }
  });
});
