import assert from 'node:assert/strict';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { type DoorServer, serveDoor, TestSite } from '@selvedge/agent/testing';
import { loopbackCertificate, type PodmanTestbed, requireTool, startPodmanTestbed } from '@selvedge/testkit';
import { findKubectls, Kubectl } from './kubectl-program.ts';
import { echoCommand, podAccessChecks } from './pod-access-checks.ts';

describe('the door of a Podman site', requireTool('podman', 'nft', 'nsenter', 'kubectl'), () => {
  let podman: PodmanTestbed;
  let site: TestSite;
  let server: DoorServer;
  let folder: string;
  let kubeconfig: string;
  let pod: string;

  before(async () => {
    folder = await mkdtemp(join(tmpdir(), 'svg-door-'));
    podman = await startPodmanTestbed();
    await podman.importBusyboxImage();
    site = await TestSite.open(podman);
    const driver = await site.start();
    site.assign({ name: 'echo', release: 'one', manifests: echoManifests });
    await site.until('Running', { name: 'echo' });
    const certificate = await loopbackCertificate();
    server = await serveDoor(await driver.openDoor(), certificate);
    kubeconfig = join(folder, 'kubeconfig');
    await writeFile(kubeconfig, kubeconfigOf(server.url, certificate.certificate));
    const kubectl = new Kubectl(findKubectls()[0]?.path ?? '', { kubeconfig, folder });
    pod = (await kubectl.run(['get', 'pods', '-n', 'shop', '-o', 'name'])).replace('pod/', '');
  });
  after(async () => {
    await server?.close();
    await site?.close();
    await podman?.close();
    await rm(folder, { recursive: true, force: true });
  });

  for (const { path, version } of findKubectls()) {
    describe(`with kubectl ${version}`, () => {
      podAccessChecks(() => ({
        kubectl: new Kubectl(path, { kubeconfig, folder }),
        namespace: 'shop',
        pod,
        folder,
      }));
    });
  }

  describe('what is there', () => {
    const kubectl = () => new Kubectl(findKubectls().at(-1)?.path ?? '', { kubeconfig, folder });

    test('pods by label and by field', async () => {
      const count = async (...args: string[]) =>
        (await kubectl().run(['get', 'pods', '-A', '-o', 'name', ...args])).split('\n').filter(Boolean)
          .length;
      assert.equal(
        await count('-l', 'selvedge.dev/application=echo,selvedge.dev/application-namespace=shop'),
        1,
      );
      assert.equal(await count('-l', 'app=other'), 0);
      assert.equal(await count('--field-selector', 'status.phase=Running'), 1);
      assert.equal(await count('--field-selector', `metadata.name!=${pod}`), 0);
      assert.match(
        await kubectl().fail(['get', 'pods', '-A', '--field-selector', 'spec.color=red']),
        /spec\.color/,
      );
    });

    test('namespaces, and nothing of other programs in the same Podman', async () => {
      await podman.podman('run', '-d', '--name', 'stranger', 'localhost/busybox:1', 'sleep', '1000');
      assert.equal(await kubectl().run(['get', 'namespaces', '-o', 'name']), 'namespace/shop');
      assert.doesNotMatch(await kubectl().run(['get', 'pods', '-A']), /stranger/);
      assert.match(await kubectl().fail(['logs', '-n', 'shop', 'stranger']), /not found/);
      await podman.podman('rm', '--force', '--time', '0', 'stranger');
    });

    test('changes are refused with a word about where to make them', async () => {
      assert.match(
        await kubectl().fail(['delete', 'pod', '-n', 'shop', pod]),
        /change the Application at the hub/,
      );
      assert.match(
        await kubectl().fail(['get', '--raw', '/apis/apps/v1/deployments']),
        /this site runs Podman/,
      );
      assert.match(
        await kubectl().fail(['logs', '-n', 'shop', pod, '--previous']),
        /previous terminated container/,
      );
      assert.match(
        await kubectl().fail(['logs', '-n', 'shop', pod, '-c', 'other']),
        /container other is not valid/,
      );
    });
  });
});

const echoManifests = [
  {
    apiVersion: 'apps/v1',
    kind: 'Deployment',
    metadata: { name: 'echo' },
    spec: {
      selector: { matchLabels: { app: 'echo' } },
      template: {
        metadata: { labels: { app: 'echo' } },
        spec: {
          terminationGracePeriodSeconds: 1,
          containers: [{ name: 'main', image: 'localhost/busybox:1', command: echoCommand }],
        },
      },
    },
  },
];

function kubeconfigOf(server: string, certificate: string): string {
  return JSON.stringify({
    apiVersion: 'v1',
    kind: 'Config',
    'current-context': 'site',
    contexts: [{ name: 'site', context: { cluster: 'site', user: 'person' } }],
    users: [{ name: 'person', user: { token: 'anything' } }],
    clusters: [
      {
        name: 'site',
        cluster: { server, 'certificate-authority-data': Buffer.from(certificate).toString('base64') },
      },
    ],
  });
}
