import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { createServer } from 'node:http';
import { after, afterEach, before, beforeEach, describe, test } from 'node:test';
import { freePort, type PodmanTestbed, requireTool, startPodmanTestbed } from '@selvedge/testkit';
import { eventually, fetchPage, TestSite, webManifests } from './testing/test-site.ts';

describe('the life of an application on a Podman site', requireTool('podman', 'nft', 'nsenter'), () => {
  let podman: PodmanTestbed;
  let site: TestSite;
  let port: number;

  before(async () => {
    podman = await startPodmanTestbed();
    await podman.importBusyboxImage();
  });
  after(async () => {
    await podman?.close();
  });
  beforeEach(async () => {
    site = await TestSite.open(podman);
    port = await freePort();
  });
  afterEach(async () => {
    await site.close();
    await podman.podman('pod', 'rm', '--all', '--force', '--time', '0');
    await podman.podman('rm', '--all', '--force', '--time', '0');
  });

  const containers = async (name: string) =>
    (await podman.podman('ps', '--all', '--filter', `name=${name}`, '--format', '{{.ID}} {{.State}}'))
      .split('\n')
      .filter(Boolean);

  test('a container that ends is started again at once, then after growing pauses', async () => {
    await site.start();
    const container = { command: ['sh', '-c', 'echo try; exit 1'], readinessProbe: undefined };
    site.assign({
      release: 'one',
      manifests: withoutUndefined(webManifests({ text: 'one', port, container })),
    });
    const report = await site.until('Activating', { reason: 'CrashLoop' });
    assert.match(report.message ?? '', /container httpd ended with code 1/);
    const failed = await site.until('Failed', { reason: 'CrashLoop', seconds: 60 });
    assert.match(failed.message ?? '', /after 3 restarts/);
    assert.deepEqual(failed.logs, ['try']);
  });

  test('a liveness probe that fails restarts the container', async () => {
    await site.start();
    const container = {
      livenessProbe: {
        exec: { command: ['test', '!', '-e', '/tmp/sick'] },
        periodSeconds: 1,
        failureThreshold: 2,
      },
    };
    site.assign({ release: 'one', manifests: webManifests({ text: 'one', port, container }) });
    await site.until('Running');
    const [before = ''] = await containers('__c_httpd');
    await podman.podman('exec', before.split(' ')[0] ?? '', 'touch', '/tmp/sick');
    const report = await site.until('Degraded');
    assert.equal(report.reason, 'ProbeFailed');
    assert.match(report.message ?? '', /liveness probe failed: exit code 1/);
    await site.until('Running');
    const [now = ''] = await containers('__c_httpd');
    assert.notEqual(now, before);
  });

  test('a container that dies behind our back is brought back', async () => {
    await site.start();
    site.assign({ release: 'one', manifests: webManifests({ text: 'one', port }) });
    await site.until('Running');
    await podman.podman('kill', '--signal', 'KILL', (await containers('__c_httpd'))[0]?.split(' ')[0] ?? '');
    await site.until('Degraded');
    await site.until('Running');
    await eventually(
      () => fetchPage(port),
      (page) => page === 'one\n',
    );
  });

  test('a pod that somebody removed is made anew, with its network', async () => {
    await site.start();
    site.assign({ release: 'one', manifests: webManifests({ text: 'one', port }) });
    await site.until('Running');
    await podman.podman('pod', 'rm', '--all', '--force', '--time', '0');
    await eventually(
      () => fetchPage(port),
      (page) => page === 'one\n',
    );
    await site.until('Running');
  });

  test('init containers run in order, to their end, before the others', async () => {
    await site.start();
    const step = (name: string, command: string) => ({
      name,
      image: 'localhost/busybox:1',
      command: ['sh', '-c', command],
      volumeMounts: [{ name: 'shared', mountPath: '/shared' }],
    });
    const container = {
      command: ['sh', '-c', 'cp /shared/log /www/index.html; exec httpd -f -p 8080 -h /www'],
      volumeMounts: [{ name: 'shared', mountPath: '/shared', readOnly: true }],
    };
    const pod = {
      volumes: [{ name: 'shared', emptyDir: {} }],
      initContainers: [
        step('first', 'sleep 1; echo first >> /shared/log'),
        step('second', 'echo second >> /shared/log'),
      ],
    };
    site.assign({ release: 'one', manifests: webManifests({ text: '', port, container, pod }) });
    await site.until('Running');
    assert.equal(await fetchPage(port), 'first\nsecond\n');
    const broken = { initContainers: [{ ...step('first', 'echo no database; exit 4'), volumeMounts: [] }] };
    site.assign({
      release: 'two',
      manifests: webManifests({ text: '', port, pod: broken }),
      deadlineSeconds: 5,
    });
    const report = await site.until('Failed', { release: 'two', reason: 'InitFailed' });
    assert.match(report.message ?? '', /init container first ended with code 4/);
    assert.deepEqual(report.logs, ['no database']);
    assert.equal(await fetchPage(port), 'first\nsecond\n');
  });

  test('a port that somebody has is named, nothing is made, and the release goes on when it is free', async () => {
    const holder = createServer();
    await new Promise<void>((resolve) => holder.listen(port, '127.0.0.1', resolve));
    try {
      await site.start();
      site.assign({ release: 'one', manifests: webManifests({ text: 'one', port }) });
      const report = await site.until('Failed', { reason: 'PortInUse' });
      assert.match(
        report.message ?? '',
        new RegExp(`port ${port}/TCP .* in use by process ${process.pid} \\(`),
      );
      assert.equal((await podman.podman('ps', '--all', '--quiet')).trim(), '');
    } finally {
      await new Promise((resolve) => holder.close(resolve));
    }
    await site.until('Running');
    assert.equal(await fetchPage(port), 'one\n');
  });

  test('a Service name that another application has is named, and nothing of either is touched', async () => {
    await site.start();
    site.assign({ release: 'one', manifests: webManifests({ text: 'one', port }) });
    await site.until('Running');
    const before = await podman.podman('ps', '--all', '--quiet');
    const manifests = webManifests({ text: 'other', port: await freePort() });
    site.assign({ name: 'other', release: 'one', manifests });
    const report = await site.until('Failed', { name: 'other', reason: 'NameInUse' });
    assert.equal(report.message, 'Service shop/web belongs to Application/shop/web');
    assert.equal(await podman.podman('ps', '--all', '--quiet'), before);
    site.remove('web');
    await site.until('Running', { name: 'other', seconds: 90 });
  });

  test('what cannot be honoured is refused by name before anything is touched', async () => {
    await site.start();
    site.assign({ release: 'one', manifests: webManifests({ text: 'one', port }) });
    await site.until('Running');
    const before = await podman.podman('ps', '--all', '--quiet');
    const pod = { hostNetwork: true, topologySpreadConstraints: [] };
    site.assign({ release: 'two', manifests: webManifests({ text: 'two', port, pod }) });
    const report = await site.until('Refused', { release: 'two', reason: 'Unsupported' });
    assert.match(
      report.message ?? '',
      /Deployment\/web: spec\.template\.spec\.hostNetwork: true is not supported/,
    );
    assert.match(report.message ?? '', /spec\.template\.spec\.topologySpreadConstraints: is not supported/);
    const variables = { city: 'Ulm' };
    site.assign({
      release: 'three',
      variables,
      manifests: webManifests({ text: '${site.variables.town}', port }),
    });
    const missing = await site.until('Refused', { release: 'three', reason: 'VariableUndefined' });
    assert.match(missing.message ?? '', /site shop has no site\.variables\.town/);
    assert.equal(await podman.podman('ps', '--all', '--quiet'), before);
    assert.equal(await fetchPage(port), 'one\n');
  });

  test('what runs goes on as it is when the site lacks from then on what it was made with', async () => {
    await site.start();
    const manifests = webManifests({ text: 'in ${site.variables.city}', port });
    site.assign({ release: 'one', variables: { city: 'Ulm' }, manifests });
    await site.until('Running');
    const before = await podman.podman('ps', '--all', '--quiet');
    site.assign({ release: 'one', variables: {}, manifests });
    const report = await site.until('Refused', { release: 'one', reason: 'VariableUndefined' });
    assert.match(report.runningDigest ?? '', /^sha256:/);
    await site.stop();
    await site.start();
    await site.until('Refused', { release: 'one', reason: 'VariableUndefined' });
    assert.equal(await podman.podman('ps', '--all', '--quiet'), before);
    assert.equal(await fetchPage(port), 'in Ulm\n');
    site.assign({ release: 'one', variables: { city: 'Bonn' }, manifests });
    await site.until('Running');
    assert.equal(await fetchPage(port), 'in Bonn\n');
  });

  test('removal takes everything of the item but the data of its claims, and nothing of others', async () => {
    await podman.podman('run', '--detach', '--name', 'foreign', 'localhost/busybox:1', 'sleep', '1000');
    await site.start();
    const manifests = (text: string, own: number) => [
      { apiVersion: 'v1', kind: 'PersistentVolumeClaim', metadata: { name: 'data' }, spec: {} },
      ...webManifests({
        text,
        port: own,
        container: {
          command: [
            'sh',
            '-c',
            'echo kept >> /data/log; cp /data/log /www/index.html; exec httpd -f -p 8080 -h /www',
          ],
          volumeMounts: [{ name: 'data', mountPath: '/data' }],
        },
        pod: { volumes: [{ name: 'data', persistentVolumeClaim: { claimName: 'data' } }] },
      }),
    ];
    site.assign({ release: 'one', manifests: manifests('one', port) });
    await site.until('Running');
    site.remove();
    const report = await site.until('Removed');
    assert.match(report.message ?? '', /data kept in Podman volumes: selvedge-[0-9a-f]+__pvc_shop_data/);
    assert.equal((await podman.podman('ps', '--all', '--format', '{{.Names}}')).trim(), 'foreign');
    assert.equal((await podman.podman('pod', 'ps', '--quiet')).trim(), '');
    site.assign({ release: 'two', manifests: manifests('two', port) });
    await site.until('Running', { release: 'two' });
    assert.equal(await fetchPage(port), 'kept\nkept\n');
  });

  test('after a power cut everything comes back by itself, without a registry', async () => {
    await site.start();
    const secret = {
      apiVersion: 'v1',
      kind: 'Secret',
      metadata: { name: 'key' },
      stringData: { key: 'open sesame' },
    };
    const container = {
      imagePullPolicy: 'IfNotPresent',
      command: ['sh', '-c', 'cp /key/key /www/index.html; exec httpd -f -p 8080 -h /www'],
      volumeMounts: [{ name: 'key', mountPath: '/key' }],
    };
    const pod = { volumes: [{ name: 'key', secret: { secretName: 'key' } }] };
    site.assign({
      release: 'one',
      manifests: [secret, ...webManifests({ text: 'one', port, replicas: 2, container, pod })],
    });
    await site.until('Running');
    await site.stop();
    await podman.reboot();
    await assert.rejects(fetchPage(port));
    const count = site.reports.length;
    await site.start();
    await eventually(
      () => fetchPage(port),
      (page) => page === 'open sesame',
    );
    await eventually(
      async () => site.reports.slice(count).map((report) => report.state),
      (states) => states.at(-1) === 'Running',
    );
  });

  test('a full disk is told as what it is, and what runs goes on', {
    skip: process.getuid?.() !== 0,
  }, async () => {
    await site.start();
    site.assign({ release: 'one', manifests: webManifests({ text: 'one', port }) });
    await site.until('Running');
    execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=64k', 'tmpfs', site.stateDir]);
    try {
      const config = {
        apiVersion: 'v1',
        kind: 'ConfigMap',
        metadata: { name: 'big' },
        data: { big: 'x'.repeat(200_000) },
      };
      const pod = { volumes: [{ name: 'big', configMap: { name: 'big' } }] };
      site.assign({ release: 'two', manifests: [config, ...webManifests({ text: 'two', port, pod })] });
      const report = await site.until('Failed', { release: 'two', reason: 'DiskFull' });
      assert.match(report.message ?? '', /the disk of this machine is full/);
      assert.equal(await fetchPage(port), 'one\n');
    } finally {
      execFileSync('umount', ['-l', site.stateDir]);
    }
    await site.until('Running', { release: 'two', seconds: 90 });
    assert.equal(await fetchPage(port), 'two\n');
  });

  test('a container of somebody else that has our name is left alone and named', async () => {
    await site.start();
    site.assign({ release: 'one', manifests: webManifests({ text: 'one', port }) });
    await site.until('Running');
    const name = (await podman.podman('ps', '--filter', 'name=__c_httpd', '--format', '{{.Names}}')).trim();
    site.remove();
    await site.until('Removed');
    await podman.podman('run', '--detach', '--name', name, 'localhost/busybox:1', 'sleep', '1000');
    site.assign({ release: 'one', manifests: webManifests({ text: 'one', port }) });
    const report = await site.until('Failed', { reason: 'NameInUse' });
    assert.match(report.message ?? '', new RegExp(name));
    assert.match(
      await podman.podman('ps', '--filter', `name=${name}`, '--format', '{{.Command}}'),
      /sleep 1000/,
    );
  });

  test('a Podman that went away is told, and found again', async () => {
    await site.start();
    site.assign({ release: 'one', manifests: webManifests({ text: 'one', port }) });
    await site.until('Running');
    await podman.stopService();
    try {
      assert.equal(await fetchPage(port), 'one\n');
      const report = await site.until('Degraded', { reason: 'RuntimeUnavailable', seconds: 60 });
      assert.match(report.message ?? '', /Podman cannot be reached/);
      assert.equal(await fetchPage(port), 'one\n');
    } finally {
      await podman.startService();
    }
    await site.until('Running');
  });

  test('a Service leads to the pods of its namespace by all its names, and headless to the pods themselves', async () => {
    await site.start();
    const ask = ['web', 'web.shop', 'web.shop.svc', 'web.shop.svc.cluster.local', 'direct']
      .map((name) => `wget -q -O - http://${name}:${name === 'direct' ? 8080 : port}/ >> /www/index.html`)
      .join(' && ');
    site.assign({
      name: 'web',
      release: 'one',
      manifests: [
        ...webManifests({ text: 'web', port }),
        {
          apiVersion: 'v1',
          kind: 'Service',
          metadata: { name: 'direct' },
          spec: {
            clusterIP: 'None',
            publishNotReadyAddresses: true,
            selector: { app: 'web' },
            ports: [{ port: 8080 }],
          },
        },
      ],
    });
    await site.until('Running');
    const otherPort = await freePort();
    const container = { command: ['sh', '-c', `${ask}; exec httpd -f -p 8080 -h /www`] };
    const [deployment, service] = webManifests({ text: '', port: otherPort, container });
    const renamed = JSON.parse(
      JSON.stringify([deployment, service]).replaceAll('"web"', '"asker"'),
    ) as object[];
    site.assign({ name: 'asker', release: 'one', manifests: renamed });
    await site.until('Running', { name: 'asker' });
    assert.equal(await fetchPage(otherPort), 'web\n'.repeat(5));
  });
});

function withoutUndefined(manifests: readonly object[]): object[] {
  return JSON.parse(JSON.stringify(manifests)) as object[];
}
