import assert from 'node:assert/strict';
import { apply, type Checks, configMap, eventually, inside, site, type Suite } from './kubectl-suite.ts';

async function makeFamily(suite: Suite): Promise<void> {
  const { kubectl, namespace } = suite;
  const k = inside(suite);
  await k('create', 'configmap', 'owner');
  const uid = await k('get', 'cm', 'owner', '-o', 'jsonpath={.metadata.uid}');
  const child = `
apiVersion: v1
kind: Secret
metadata:
  name: child
  namespace: ${namespace}
  ownerReferences: [{apiVersion: v1, kind: ConfigMap, name: owner, uid: ${uid}, blockOwnerDeletion: true}]
`;
  await kubectl.run(['create', '-f', '-'], { input: child });
}

const exists = async ({ kubectl, namespace }: Suite, what: string): Promise<boolean> =>
  (await kubectl.run(['get', what, '-n', namespace, '--ignore-not-found', '-o', 'name'])) !== '';

/** Ends with the namespace of the suite: runs last. */
export const deleting: Checks = {
  'replace --force makes the object anew': async (suite) => {
    const k = inside(suite);
    await apply(suite, configMap(suite, 'forced', '{a: "1"}'));
    const uid = await k('get', 'cm', 'forced', '-o', 'jsonpath={.metadata.uid}');
    const input = configMap(suite, 'forced', '{a: "2"}');
    assert.match(await suite.kubectl.run(['replace', '--force', '-f', '-'], { input }), /replaced/);
    assert.equal(await k('get', 'cm', 'forced', '-o', 'jsonpath={.data.a}'), '2');
    assert.notEqual(await k('get', 'cm', 'forced', '-o', 'jsonpath={.metadata.uid}'), uid);
  },

  'delete in the background, in the foreground, and leaving dependents': async (suite) => {
    const k = inside(suite);
    for (const cascade of ['background', 'foreground']) {
      await makeFamily(suite);
      assert.match(await k('delete', 'cm', 'owner', `--cascade=${cascade}`, '--timeout=30s'), /deleted/);
      await eventually(
        async () => !(await exists(suite, 'secret/child')),
        () => `the child is gone (${cascade})`,
      );
    }
    await makeFamily(suite);
    await k('delete', 'cm', 'owner', '--cascade=orphan', '--timeout=30s');
    assert.equal(await k('get', 'secret', 'child', '-o', 'jsonpath={.metadata.ownerReferences}'), '');
    await k('delete', 'secret', 'child', '--now');
  },

  'delete waits for finalizers, or does not': async (suite) => {
    const k = inside(suite);
    await k('create', 'configmap', 'held');
    await k('patch', 'cm', 'held', '-p', '{"metadata":{"finalizers":["example.dev/hold"]}}');
    const deletion = k('delete', 'cm', 'held', '--timeout=60s');
    await eventually(
      async () => (await k('get', 'cm', 'held', '-o', 'jsonpath={.metadata.deletionTimestamp}')) !== '',
      () => 'the deletion was asked for',
    );
    await k('delete', 'cm', 'held', '--wait=false');
    assert.ok(await exists(suite, 'cm/held'));
    await k('patch', 'cm', 'held', '--type=json', '-p', '[{"op":"remove","path":"/metadata/finalizers"}]');
    assert.match(await deletion, /deleted/);
    assert.ok(!(await exists(suite, 'cm/held')));
    assert.match(await k('delete', 'cm', 'held', '--ignore-not-found'), /^$/);
  },

  'delete --dry-run, --all, -l, by file': async (suite) => {
    const { kubectl, namespace } = suite;
    const k = inside(suite);
    for (const name of ['one', 'two']) {
      await k('create', 'configmap', name);
      await k('label', 'cm', name, 'doomed=yes');
    }
    assert.match(await k('delete', 'cm', 'one', '--dry-run=server'), /deleted \(server dry run\)/);
    assert.ok(await exists(suite, 'cm/one'));
    assert.match(await k('delete', 'cm', '-l', 'doomed=yes', '--timeout=60s'), /one[\s\S]*two/);
    await k('create', 'configmap', 'three');
    assert.match(await k('delete', 'cm', '--all', '--timeout=60s', '--grace-period=0', '--force'), /three/);
    assert.equal(await k('get', 'cm', '-o', 'name'), '');
    await apply(suite, site(`doomed-${namespace}`));
    const input = site(`doomed-${namespace}`);
    assert.match(await kubectl.run(['delete', '-f', '-', '--timeout=60s'], { input }), /deleted/);
    await kubectl.run(['delete', 'site', '-l', `suite=category-${namespace}`]);
  },

  'apply --prune takes away what is no longer there': async (suite) => {
    const pruned = (name: string) =>
      `---${configMap(suite, name, '{}').replace('{name:', '{labels: {set: p}, name:')}`;
    const flags = ['--prune', '-l', 'set=p', '--prune-allowlist=core/v1/ConfigMap', '-n', suite.namespace];
    await apply(suite, pruned('kept') + pruned('dropped'), ...flags);
    assert.match(await apply(suite, pruned('kept'), ...flags), /dropped pruned/);
    assert.ok(await exists(suite, 'cm/kept'));
  },
  'delete by selector, by file, and a namespace with all that is in it': async (suite) => {
    const { kubectl, namespace } = suite;
    assert.match(
      await kubectl.run(['delete', 'site', '-l', `tier=${namespace}`, '--timeout=60s']),
      /deleted/,
    );
    assert.match(
      await kubectl.run(['delete', '-f', '-', '--ignore-not-found', '--timeout=60s'], {
        input: site(`smoke-${namespace}`),
      }),
      /deleted/,
    );
    await kubectl.run(['delete', 'namespace', namespace, '--timeout=60s']);
    assert.match(await kubectl.fail(['get', 'namespace', namespace]), /not found/);
  },
};
