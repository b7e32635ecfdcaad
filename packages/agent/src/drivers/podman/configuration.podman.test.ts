import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { after, afterEach, before, beforeEach, describe, test } from 'node:test';
import { promisify } from 'node:util';
import { freePort, type PodmanTestbed, requireTool, startPodmanTestbed } from '@selvedge/testkit';
import { eventually, fetchPage, TestSite, webManifests } from './testing/test-site.ts';

const execFileAsync = promisify(execFile);

describe('what the containers of a Podman site are given', requireTool('podman', 'nft', 'nsenter'), () => {
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
  });

  const serve = (command: string) => [
    'sh',
    '-c',
    `(${command}) > /www/index.html; exec httpd -f -p 8080 -h /www`,
  ];
  const config = (data: Record<string, string>) => ({
    apiVersion: 'v1',
    kind: 'ConfigMap',
    metadata: { name: 'till' },
    data,
  });
  const secret = (stringData: Record<string, string>) => ({
    apiVersion: 'v1',
    kind: 'Secret',
    metadata: { name: 'safe' },
    stringData,
  });
  const page = async () => (await fetchPage(port)).trim().split('\n');

  test('ConfigMaps and fields of the pod as variables and files, with $(NAME) expanded', async () => {
    await site.start();
    const container = {
      command: serve(
        'echo $GREETING; echo $WHO $WHERE; cat /etc/till/city /etc/one; ls /etc/till; echo $COLOR $0',
      ),
      args: ['[$(WHO)]'],
      env: [
        { name: 'WHO', valueFrom: { fieldRef: { fieldPath: 'metadata.namespace' } } },
        { name: 'WHERE', valueFrom: { fieldRef: { fieldPath: "metadata.labels['app']" } } },
        { name: 'NAME', valueFrom: { configMapKeyRef: { name: 'till', key: 'city' } } },
        { name: 'GREETING', value: 'hello $(NAME) $(UNKNOWN) $$(NAME)' },
      ],
      envFrom: [{ configMapRef: { name: 'colors' } }, { configMapRef: { name: 'absent', optional: true } }],
      volumeMounts: [
        { name: 'till', mountPath: '/etc/till' },
        { name: 'till', mountPath: '/etc/one', subPath: 'deep/street' },
      ],
    };
    const items = [
      { key: 'city', path: 'city' },
      { key: 'street', path: 'deep/street', mode: 0o400 },
    ];
    const pod = { volumes: [{ name: 'till', configMap: { name: 'till', items } }] };
    const colors = { ...config({ COLOR: 'red' }), metadata: { name: 'colors' } };
    const release = (city: string) => [
      config({ city, street: 'Hauptstr.\n' }),
      colors,
      ...webManifests({ text: '', port, container, pod }),
    ];
    site.assign({ release: 'one', manifests: release('Ulm') });
    await site.until('Running');
    assert.deepEqual(await page(), [
      'hello Ulm $(UNKNOWN) $(NAME)',
      'shop web',
      'UlmHauptstr.',
      'city',
      'deep',
      'red [shop]',
    ]);
    site.assign({ release: 'two', manifests: release('Bonn') });
    await site.until('Running', { release: 'two' });
    await eventually(page, (lines) => lines[0] === 'hello Bonn $(UNKNOWN) $(NAME)');
  });

  test('Secrets of the hub come beside the release; another value replaces the pods, and the release is the same', async () => {
    await site.start();
    const container = {
      command: serve('echo "$PIN"'),
      env: [{ name: 'PIN', valueFrom: { secretKeyRef: { name: 'safe', key: 'pin' } } }],
    };
    const manifests = webManifests({ text: '', port, container });
    const release = (pin: string, version: string) => ({
      release: 'one',
      manifests,
      secrets: { safe: { version, data: { pin } } },
    });
    site.assign(release('4711', 'v1'));
    await site.until('Running');
    assert.deepEqual(await page(), ['4711']);
    const running = (await podman.podman('ps', '--quiet', '--no-trunc')).trim();

    await site.stop();
    await site.start();
    await site.until('Running');
    assert.equal(
      (await podman.podman('ps', '--quiet', '--no-trunc')).trim(),
      running,
      'a restart changes nothing',
    );

    site.assign(release('4712', 'v2'));
    await eventually(page, (lines) => lines[0] === '4712');
    await site.until('Running');
  });

  test('values of Secrets reach the program, but no disk and no inspection', async () => {
    await site.start();
    const value = "geheim-4711 'quoted' $HOME";
    const container = {
      command: serve('cat /run/safe/pin; echo; echo "$PIN"; echo "$LINE"; echo "$word"'),
      env: [
        { name: 'PIN', valueFrom: { secretKeyRef: { name: 'safe', key: 'pin' } } },
        { name: 'LINE', value: 'db://till:$(PIN)@db' },
      ],
      envFrom: [{ secretRef: { name: 'safe' } }],
      volumeMounts: [{ name: 'safe', mountPath: '/run/safe' }],
      livenessProbe: {
        exec: { command: ['sh', '-c', 'test -n "$PIN"'] },
        periodSeconds: 1,
        failureThreshold: 1,
      },
    };
    const pod = { volumes: [{ name: 'safe', secret: { secretName: 'safe', defaultMode: 0o440 } }] };
    const manifests = [
      secret({ pin: value, word: 'zweitwort' }),
      ...webManifests({ text: '', port, container, pod }),
    ];
    site.assign({ release: 'one', manifests });
    await site.until('Running');
    assert.deepEqual(await page(), [value, value, `db://till:${value}@db`, 'zweitwort']);
    const ids = (await podman.podman('ps', '--all', '--quiet')).trim().split('\n');
    assert.doesNotMatch(await podman.podman('inspect', ...ids), /geheim|zweitwort/);
    // The page that the container wrote into its own file system is the only place on disk.
    const { stdout } = await execFileAsync('sh', [
      '-c',
      `grep -rlE 'geheim|zweitwort|${Buffer.from('geheim').toString('base64').slice(0, 6)}' "$@" 2>/dev/null || true`,
      'sh',
      podman.directory,
      site.stateDir,
    ]);
    const places = stdout.split('\n').filter((path) => path !== '' && !path.endsWith('/www/index.html'));
    assert.deepEqual(places, []);
    assert.equal(site.lastReport()?.state, 'Running');
  });

  test('volumes, users and limits are as the manifest says', async () => {
    await site.start();
    const container = {
      command: serve(
        'id -u; touch /scratch/a /memory/b && ls /scratch /memory; touch /etc/x 2>/dev/null || echo read-only; grep CapBnd /proc/self/status; grep NoNewPrivs /proc/self/status; cat /sys/fs/cgroup/memory/memory.limit_in_bytes /sys/fs/cgroup/memory.max 2>/dev/null || true; hostname; cat /etc/hosts | grep till',
      ),
      resources: site.canLimit ? { limits: { memory: '64Mi', cpu: '500m' }, requests: { cpu: '10m' } } : {},
      securityContext: {
        runAsUser: 1000,
        runAsNonRoot: true,
        readOnlyRootFilesystem: true,
        allowPrivilegeEscalation: false,
        capabilities: { drop: ['ALL'] },
      },
      volumeMounts: [
        { name: 'scratch', mountPath: '/scratch' },
        { name: 'memory', mountPath: '/memory' },
        { name: 'www', mountPath: '/www' },
      ],
    };
    const pod = {
      volumes: [
        { name: 'scratch', emptyDir: {} },
        { name: 'memory', emptyDir: { medium: 'Memory' } },
        { name: 'www', emptyDir: {} },
      ],
      hostname: 'till-host',
      hostAliases: [{ ip: '192.0.2.9', hostnames: ['till.example'] }],
    };
    site.assign({ release: 'one', manifests: webManifests({ text: '', port, container, pod }) });
    await site.until('Running');
    const lines = await page();
    assert.deepEqual(lines.slice(0, 6), ['1000', '/memory:', 'b', '', '/scratch:', 'a']);
    assert.ok(lines.includes('read-only'));
    assert.ok(lines.includes('CapBnd:\t0000000000000000'));
    assert.ok(lines.includes('NoNewPrivs:\t1'));
    if (site.canLimit) assert.ok(lines.includes(String(64 * 2 ** 20)));
    assert.ok(lines.includes('till-host'));
    assert.ok(lines.some((line) => line.startsWith('192.0.2.9')));
    const id = (await podman.podman('ps', '--quiet', '--filter', 'name=__c_httpd')).trim();
    assert.match(await podman.podman('exec', id, 'mount'), /tmpfs on \/memory /);
    site.remove();
    await site.until('Removed');
    assert.equal((await podman.podman('volume', 'ls', '--quiet')).trim(), '');
  });

  test('an image that runs as root is refused a pod that must not', async () => {
    await site.start();
    const container = { securityContext: { runAsNonRoot: true } };
    site.assign({ release: 'one', manifests: webManifests({ text: '', port, container }) });
    const report = await site.until('Failed', { reason: 'CannotStart' });
    assert.match(report.message ?? '', /must not run as root/);
  });

  test('bare pods run to completion, and startup and TCP probes are honoured', async () => {
    await site.start();
    const job = {
      apiVersion: 'v1',
      kind: 'Pod',
      metadata: { name: 'once', labels: { app: 'once' } },
      spec: {
        restartPolicy: 'OnFailure',
        containers: [{ name: 'main', image: 'localhost/busybox:1', command: ['sh', '-c', 'exit 0'] }],
      },
    };
    const container = {
      command: ['sh', '-c', 'sleep 2; echo up > /www/index.html; exec httpd -f -p 8080 -h /www'],
      startupProbe: { tcpSocket: { port: 'http' }, periodSeconds: 1, failureThreshold: 30 },
      livenessProbe: { httpGet: { path: '/', port: 8080 }, periodSeconds: 1, failureThreshold: 1 },
    };
    site.assign({ release: 'one', manifests: [job, ...webManifests({ text: '', port, container })] });
    const report = await site.until('Running');
    assert.deepEqual(report.pods, { wanted: 2, ready: 2 });
    assert.deepEqual(await page(), ['up']);
    const states = site.reports.map((r) => r.reason);
    assert.ok(!states.includes('CrashLoop'));
  });
});
