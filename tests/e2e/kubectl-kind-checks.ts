import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type Checks, inside, type Suite } from './kubectl-suite.ts';

/** `create` of every kind: since 1.32 kubectl sends these as protobuf and takes no refusal. */
export const creating: Checks = {
  'create namespace, configmap, serviceaccount, quota': async (suite) => {
    const { kubectl, namespace, directory } = suite;
    const k = inside(suite);
    await kubectl.run(['create', 'namespace', `${namespace}-more`]);
    const bytes = join(directory, `${namespace}.bytes`);
    writeFileSync(bytes, Buffer.from([0, 255, 1]));
    await k('create', 'configmap', 'typed', '--from-literal=a=b', `--from-file=bytes=${bytes}`);
    assert.equal(await k('get', 'cm', 'typed', '-o', 'jsonpath={.data.a} {.binaryData.bytes}'), 'b AP8B');
    assert.match(await k('create', 'serviceaccount', 'robot'), /created/);
    assert.match(await k('create', 'quota', 'few', '--hard=count/configmaps=1k'), /created/);
    assert.match(await k('get', 'quota', 'few', '-o', 'jsonpath={.spec.hard}'), /"count\/configmaps":"1k"/);
    await k('delete', 'quota', 'few');
    assert.match(await kubectl.fail(['create', 'namespace', namespace]), /already exists/);
  },

  'create secrets of every type': async (suite) => {
    const { kubectl, namespace, directory } = suite;
    const k = inside(suite);
    const [key, certificate] = [join(directory, `${namespace}.key`), join(directory, `${namespace}.crt`)];
    const request = ['req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes'];
    execFileSync(
      'openssl',
      [...request, '-keyout', key, '-out', certificate, '-subj', '/CN=x', '-days', '2'],
      {
        stdio: 'ignore',
      },
    );
    await k('create', 'secret', 'tls', 'tls', `--cert=${certificate}`, `--key=${key}`);
    await k('create', 'secret', 'docker-registry', 'pull', '--docker-username=u', '--docker-password=p');
    await k('create', 'secret', 'generic', 'plain', '--from-literal=password=x', '--type=example.dev/own');
    assert.equal(
      await k('get', 'secret', 'plain', '-o', 'jsonpath={.type} {.data.password}'),
      'example.dev/own eA==',
    );
    assert.match(await k('get', 'secrets'), /tls\s+kubernetes\.io\/tls\s+2/);
    const wrong = await kubectl.fail([
      'create',
      'secret',
      'generic',
      'bad',
      '--type=kubernetes.io/tls',
      '-n',
      namespace,
    ]);
    assert.match(wrong, /data\[tls\.crt\]: Required value/);
    assert.doesNotMatch(await k('describe', 'secret', 'plain'), /eA==|:\s+x$/m);
  },

  'create roles and bindings, and change who is bound': async (suite) => {
    const { kubectl, namespace } = suite;
    const k = inside(suite);
    await k('create', 'role', 'reader', '--verb=get,list', '--resource=configmaps', '--resource-name=typed');
    await k(
      'create',
      'rolebinding',
      'readers',
      '--role=reader',
      '--user=ann',
      `--serviceaccount=${namespace}:robot`,
    );
    await kubectl.run(['create', 'clusterrole', `${namespace}:sites`, '--verb=get', '--resource=sites']);
    await kubectl.run(['create', 'clusterrole', `${namespace}:all`, `--aggregation-rule=suite=${namespace}`]);
    await kubectl.run([
      'create',
      'clusterrole',
      `${namespace}:path`,
      '--verb=get',
      '--non-resource-url=/metrics',
    ]);
    await kubectl.run([
      'create',
      'clusterrolebinding',
      namespace,
      `--clusterrole=${namespace}:sites`,
      '--group=shop',
    ]);
    await k('set', 'subject', 'rolebinding', 'readers', '--group=readers');
    assert.match(await k('describe', 'rolebinding', 'readers'), /Group\s+readers/);
    assert.match(await k('get', 'rolebinding', 'readers', '-o', 'wide'), /Role\/reader.*ann/);
    const reconciled = await kubectl.run(['get', 'clusterrole', `${namespace}:sites`, '-o', 'json']);
    assert.match(await kubectl.run(['auth', 'reconcile', '-f', '-'], { input: reconciled }), /reconciled/);
  },

  'auth can-i, whoami, and a token that does what its account may': async (suite) => {
    const { kubectl, namespace } = suite;
    const k = inside(suite);
    assert.equal(await k('auth', 'can-i', 'get', 'configmaps/typed', '--as=ann'), 'yes');
    assert.equal(
      (await kubectl.try(['auth', 'can-i', 'delete', 'cm', '--as=ann', '-n', namespace])).stdout.trim(),
      'no',
    );
    assert.equal(await kubectl.run(['auth', 'can-i', 'get', 'sites', '--as=x', '--as-group=shop']), 'yes');
    assert.equal(await kubectl.run(['auth', 'can-i', '*', '*', '--all-namespaces']), 'yes');
    assert.match(
      await k('auth', 'can-i', '--list', '--as=ann'),
      /configmaps\s+\[\]\s+\[typed\]\s+\[get list\]/,
    );
    assert.match(await kubectl.run(['auth', 'whoami']), /Username\s+admin/);
    assert.match(await kubectl.run(['auth', 'whoami', '-o', 'json', '--as=ann']), /"username": "ann"/);
    const token = await k('create', 'token', 'robot', '--duration=10m');
    const env = { KUBECONFIG: await kubeconfigWith(suite, token) };
    const read = ['get', 'cm', 'typed', '-n', namespace, '-o', 'name'];
    assert.equal(await kubectl.run(read, { env }), 'configmap/typed');
    const denied = await kubectl.fail(['get', 'secrets', '-n', namespace], { env });
    assert.match(
      denied,
      new RegExp(`User "system:serviceaccount:${namespace}:robot" cannot list resource "secrets"`),
    );
    const names = [`${namespace}:sites`, `${namespace}:all`, `${namespace}:path`];
    await kubectl.run(['delete', 'clusterrole', ...names]);
    await kubectl.run(['delete', 'clusterrolebinding', namespace]);
    await kubectl.run(['delete', 'namespace', `${namespace}-more`, '--wait=false']);
  },
};

/** The kubeconfig of the suite with a token instead of a certificate. */
async function kubeconfigWith({ kubectl, directory, namespace }: Suite, token: string): Promise<string> {
  const config = JSON.parse(await kubectl.run(['config', 'view', '--raw', '-o', 'json'])) as {
    users: { user: object }[];
  };
  for (const entry of config.users) entry.user = { token };
  const path = join(directory, `${namespace}.kubeconfig`);
  writeFileSync(path, JSON.stringify(config), { mode: 0o600 });
  return path;
}
