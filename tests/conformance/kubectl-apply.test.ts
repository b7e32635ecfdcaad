import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { requireTool } from '@selvedge/testkit';
import { findKubectls, Kubectl } from '../e2e/kubectl-program.ts';
import { requireKubeApiserver } from './kube-apiserver.ts';
import { normalAnswer } from './normal-answer.ts';
import { sampleGroupVersion } from './sample-kinds.ts';
import { type Servers, startBoth } from './start-both.ts';

type Json = Record<string, unknown>;

const { skip } = requireKubeApiserver();

describe(
  'kubectl does the same here as with a kube-apiserver',
  skip ? { skip } : requireTool('kubectl'),
  () => {
    let folder: string;
    let servers: Servers;

    before(async () => {
      folder = mkdtempSync(join(tmpdir(), 'selvedge-comparison-'));
      servers = await startBoth();
    });
    after(async () => {
      await servers?.close();
      rmSync(folder, { recursive: true });
    });

    const kubectlsOf = (path: string) =>
      [servers.ours, servers.theirs].map((server) => {
        const kubeconfig = join(folder, `${server.name}.kubeconfig`);
        writeFileSync(kubeconfig, JSON.stringify(server.kubeconfig()));
        return { server, kubectl: new Kubectl(path, { kubeconfig, folder }) };
      });

    for (const { path, version, minor } of findKubectls()) {
      for (const kind of ['configmap', 'widget'] as const) {
        test(`${version} applies and edits a ${kind} in every way`, async () => {
          const sides = kubectlsOf(path);
          for (const [step, { args, body }] of commands(kind, `${kind}-${minor}`).entries()) {
            const results = await Promise.all(
              sides.map(async ({ server, kubectl }) => {
                const input = body ? { input: JSON.stringify(body) } : {};
                const { code, stdout, stderr } = await kubectl.try(args, input);
                const said = `${stdout}${stderr}`.replace(/^(I|W)\d{4} .*\n/gm, '');
                const object = await server.send({ method: 'GET', path: pathOf(kind, `${kind}-${minor}`) });
                return { code, said, object: normalAnswer(object, {}) };
              }),
            );
            assert.deepEqual(results[0], results[1], `step ${step}: kubectl ${args.join(' ')}`);
          }
        });
      }
    }
  },
);

const pathOf = (kind: 'configmap' | 'widget', name: string): string =>
  kind === 'configmap'
    ? `/api/v1/namespaces/default/configmaps/${name}`
    : `/apis/${sampleGroupVersion}/namespaces/default/widgets/${name}`;

interface Command {
  readonly args: readonly string[];
  readonly body?: Json;
}

/** One person's way from client-side to server-side apply and back, with others in between. */
function commands(kind: 'configmap' | 'widget', name: string): Command[] {
  const isWidget = kind === 'widget';
  const object = (values: Record<string, string>, labels: Json = {}): Json => ({
    apiVersion: isWidget ? sampleGroupVersion : 'v1',
    kind: isWidget ? 'Widget' : 'ConfigMap',
    metadata: { name, labels },
    ...(isWidget ? { spec: { labels: values, tags: Object.keys(values) } } : { data: values }),
  });
  const apply = (body: Json, ...flags: string[]): Command => ({ args: ['apply', '-f', '-', ...flags], body });
  const field = isWidget ? '/spec/labels/a' : '/data/a';
  return [
    apply(object({ a: '1', b: '2', c: '3' }, { x: 'y' })),
    apply(object({ a: '1', b: '3', c: '3' })),
    apply(object({ a: '1', b: '4', c: '3' }), '--server-side'),
    apply(object({ a: '1', b: '4' }), '--server-side'),
    apply(object({ a: '2', b: '4' }), '--server-side', '--field-manager=other'),
    apply(object({ a: '2', b: '4' }), '--server-side', '--field-manager=other', '--force-conflicts'),
    apply(object({ a: '1', b: '5' }), '--server-side'),
    apply(object({ a: '1', b: '5' })),
    { args: ['label', kind, name, 'l=m'] },
    { args: ['annotate', kind, name, 'n=o'] },
    {
      args: [
        'patch',
        kind,
        name,
        '--type=json',
        '-p',
        JSON.stringify([{ op: 'replace', path: field, value: '9' }]),
      ],
    },
    { args: ['patch', kind, name, '--type=merge', '-p', '{"metadata":{"labels":{"l":null}}}'] },
    apply(object({ a: '1', b: '5', d: '6' }), '--server-side', '--force-conflicts'),
    {
      args: ['diff', '--server-side', '--force-conflicts', '-f', '-'],
      body: object({ a: '1', b: '5', d: '6' }),
    },
    { args: ['replace', '-f', '-'], body: object({ a: 'r' }) },
    apply(object({ a: 'r' }), '--server-side', '--dry-run=server'),
    { args: ['delete', kind, name] },
    { args: ['create', '-f', '-'], body: object({ a: 'c' }) },
    apply(object({ a: 'd' }), '--server-side'),
    apply(object({ a: 'd' }), '--server-side', '--force-conflicts'),
  ];
}
