import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { KubeObject } from '@selvedge/api';
import { readApp } from './validate-support.ts';

const capabilities = { isRootless: false, canLimitCpu: true, canLimitMemory: true };
const context = { namespace: 'shop', uid: 'uid' };

const faultsOf = (...manifests: object[]) =>
  readApp(manifests as KubeObject[], context, capabilities).faults ?? [];

function deployment(pod: object = {}, container: object = {}, spec: object = {}): object {
  return {
    apiVersion: 'apps/v1',
    kind: 'Deployment',
    metadata: { name: 'web' },
    spec: {
      selector: { matchLabels: { app: 'web' } },
      template: {
        metadata: { labels: { app: 'web' } },
        spec: { containers: [{ name: 'main', image: 'web:1', ...container }], ...pod },
      },
      ...spec,
    },
  };
}
const service = (spec: object) => ({
  apiVersion: 'v1',
  kind: 'Service',
  metadata: { name: 'web' },
  spec: { selector: { app: 'web' }, ports: [{ port: 80 }], ...spec },
});
const config = { apiVersion: 'v1', kind: 'ConfigMap', metadata: { name: 'cfg' }, data: { a: '1' } };
const secret = {
  apiVersion: 'v1',
  kind: 'Secret',
  metadata: { name: 'safe' },
  stringData: { pin: '1', 'tls.key': 'k' },
};

describe('what a Podman site takes', () => {
  test('a Deployment with a Service, exported from a cluster', () => {
    const exported = {
      ...deployment({
        serviceAccountName: 'default',
        dnsPolicy: 'ClusterFirst',
        schedulerName: 'default-scheduler',
        securityContext: {},
        tolerations: [{ key: 'edge', operator: 'Exists' }],
      }),
      metadata: {
        name: 'web',
        uid: 'x',
        resourceVersion: '5',
        generation: 2,
        creationTimestamp: null,
        managedFields: [],
      },
      status: { replicas: 1 },
    };
    assert.deepEqual(faultsOf(exported, service({ type: 'LoadBalancer' })), []);
  });

  const refusals: readonly [string, object[], RegExp][] = [
    [
      'an unknown kind',
      [{ apiVersion: 'batch/v1', kind: 'Job', metadata: { name: 'j' } }],
      /^Job\/j: kind: batch\/v1 Job cannot run/,
    ],
    [
      'an unknown field',
      [deployment({}, { imagePolicy: 'x' })],
      /containers\[0\]\.imagePolicy: is not supported on a Podman site$/,
    ],
    ['a wrong type', [deployment({}, {}, { replicas: '3' })], /spec\.replicas: must be a whole number/],
    [
      'the network of the machine',
      [deployment({ hostNetwork: true })],
      /spec\.template\.spec\.hostNetwork: true is not supported/,
    ],
    [
      'a port of the machine',
      [deployment({}, { ports: [{ containerPort: 1, hostPort: 1 }] })],
      /hostPort: .* by a Service/,
    ],
    [
      'a node selector',
      [deployment({ nodeSelector: { disk: 'ssd' } })],
      /nodeSelector\.disk: is not supported/,
    ],
    [
      'a required affinity',
      [deployment({ affinity: { nodeAffinity: { requiredDuringSchedulingIgnoredDuringExecution: {} } } })],
      /requiredDuringScheduling.*: is not supported/,
    ],
    ['life-cycle hooks', [deployment({}, { lifecycle: {} })], /lifecycle: is not supported/],
    [
      'a size limit of an emptyDir',
      [deployment({ volumes: [{ name: 'v', emptyDir: { sizeLimit: '1Gi' } }] })],
      /sizeLimit: is not supported/,
    ],
    [
      'a storage class',
      [
        {
          apiVersion: 'v1',
          kind: 'PersistentVolumeClaim',
          metadata: { name: 'd' },
          spec: { storageClassName: 'fast' },
        },
      ],
      /storageClassName: is not supported/,
    ],
    [
      'a GPU',
      [deployment({}, { resources: { limits: { 'nvidia.com/gpu': 1 } } })],
      /limits\.nvidia\.com\/gpu: is not supported/,
    ],
    [
      'a path that leads out',
      [
        deployment({
          volumes: [{ name: 'v', configMap: { name: 'cfg', items: [{ key: 'a', path: '../x' }] } }],
        }),
        config,
      ],
      /path: must be a relative path/,
    ],
    [
      'a mount path that changes the mount',
      [
        deployment(
          { volumes: [{ name: 'v', emptyDir: {} }] },
          { volumeMounts: [{ name: 'v', mountPath: '/a:/b' }] },
        ),
      ],
      /mountPath: must be an absolute path/,
    ],
    [
      'a ConfigMap that is not there',
      [deployment({}, { envFrom: [{ configMapRef: { name: 'cfg' } }] })],
      /configMapRef\.name: there is no ConfigMap cfg/,
    ],
    [
      'a key that is not there',
      [
        deployment({}, { env: [{ name: 'A', valueFrom: { configMapKeyRef: { name: 'cfg', key: 'b' } } }] }),
        config,
      ],
      /key: ConfigMap cfg has no key b/,
    ],
    [
      'a volume that is not there',
      [deployment({}, { volumeMounts: [{ name: 'v', mountPath: '/v' }] })],
      /there is no volume v/,
    ],
    [
      'a probe of a port without a name',
      [deployment({}, { readinessProbe: { tcpSocket: { port: 'http' } } })],
      /no port named http/,
    ],
    ['a probe that asks nothing', [deployment({}, { readinessProbe: {} })], /needs exactly one of exec/],
    [
      'a Secret in the command line',
      [
        deployment(
          {},
          {
            args: ['--pin=$(PIN)'],
            env: [{ name: 'PIN', valueFrom: { secretKeyRef: { name: 'safe', key: 'pin' } } }],
          },
        ),
        secret,
      ],
      /args\[0\]: \$\(PIN\) comes from a Secret/,
    ],
    [
      'a Secret key that is no variable name',
      [deployment({}, { envFrom: [{ secretRef: { name: 'safe' } }] }), secret],
      /tls\.key is no variable name/,
    ],
    [
      'labels that the selector does not match',
      [deployment({}, {}, { selector: { matchLabels: { app: 'x' } } })],
      /template labels have no app=x/,
    ],
    [
      'an update that cannot move',
      [deployment({}, {}, { strategy: { rollingUpdate: { maxSurge: 0, maxUnavailable: 0 } } })],
      /cannot both be 0/,
    ],
    [
      'a restart policy that a Deployment has not',
      [deployment({ restartPolicy: 'Never' })],
      /must be Always/,
    ],
    ['a NodePort without a number', [service({ type: 'NodePort' })], /nodePort: is required/],
    [
      'client addresses',
      [service({ externalTrafficPolicy: 'Local' })],
      /externalTrafficPolicy: "Local" is not supported/,
    ],
    ['an external name', [service({ type: 'ExternalName' })], /spec\.type: "ExternalName" is not supported/],
    [
      'one port for two Services',
      [service({ type: 'LoadBalancer' }), { ...service({ type: 'LoadBalancer' }), metadata: { name: 'b' } }],
      /port 80 of the machine is also asked for by Service\/web/,
    ],
    [
      'a headless Service that hides pods',
      [deployment({}, { readinessProbe: { tcpSocket: { port: 1 } } }), service({ clusterIP: 'None' })],
      /publishNotReadyAddresses: must be true/,
    ],
  ];
  for (const [what, manifests, message] of refusals) {
    test(`refuses ${what}`, () => {
      const faults = faultsOf(...manifests);
      assert.ok(
        faults.some((fault) => message.test(fault)),
        faults.join('\n'),
      );
    });
  }

  test('refuses limits that nobody would enforce', () => {
    const limited = deployment({}, { resources: { limits: { cpu: '500m', memory: '64Mi' } } }) as KubeObject;
    const { faults } = readApp([limited], context, {
      ...capabilities,
      canLimitCpu: false,
      canLimitMemory: false,
    });
    assert.equal(faults?.length, 2);
    assert.match(faults?.[0] ?? '', /limits\.cpu: cannot be enforced/);
  });

  test('names every fault at once', () => {
    assert.equal(faultsOf(deployment({ hostPID: true, hostIPC: true }, { tty: true })).length, 3);
  });
});
