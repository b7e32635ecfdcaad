import assert from 'node:assert/strict';
import { get } from 'node:http';
import { apply, type Checks, configMap, eventually, inside, site } from './kubectl-suite.ts';

/** One that reads OpenAPI v2, and the newest: it takes a call for each kind. */
const explainsAll = [27, 33];

/** Whatever shows what there is. */
export const reading: Checks = {
  'every form of output': async (suite) => {
    const { kubectl } = suite;
    const k = inside(suite);
    await apply(suite, configMap(suite, 'shown-b', '{b: "2"}'));
    await apply(suite, configMap(suite, 'shown-a', '{a: "1"}'));
    const jsonpath = (path: string, ...flags: string[]) =>
      k('get', 'cm', 'shown-a', 'shown-b', '-o', `jsonpath=${path}`, ...flags);
    assert.equal(await jsonpath('{.items[*].metadata.name}'), 'shown-a shown-b');
    assert.equal(
      await k('get', 'cm', 'shown-a', '-o', 'custom-columns=N:.metadata.name,A:.data.a', '--no-headers'),
      'shown-a   1',
    );
    assert.equal(await k('get', 'cm', 'shown-a', '-o', 'go-template={{.data.a}}'), '1');
    assert.match(await k('get', 'cm', 'shown-a', '-o', 'json'), /"kind": "ConfigMap"/);
    assert.match(
      await k('get', 'cm/shown-a', 'cm/shown-b', '-o', 'name'),
      /configmap\/shown-a\nconfigmap\/shown-b/,
    );
    assert.match(await k('get', 'cm', '--sort-by=.metadata.name'), /shown-a[\s\S]*shown-b/);
    assert.match(await k('get', 'cm', '--show-labels', '--show-kind', '-L', 'none'), /configmap\/shown-a/);
    assert.match(
      await kubectl.run(['get', 'cm', '-A', '--chunk-size=1', '-o', 'name']),
      /shown-a[\s\S]*shown-b/,
    );
    assert.equal(await k('get', 'cm', 'nobody', '--ignore-not-found'), '');
  },

  'the categories of kinds': async (suite) => {
    const { kubectl, namespace } = suite;
    await apply(suite, site(`category-${namespace}`));
    assert.match(
      await kubectl.run(['get', 'selvedge', '-o', 'name', '-n', namespace]),
      /site\.selvedge\.dev/,
    );
    assert.match((await kubectl.try(['get', 'all', '-n', namespace])).stderr, /No resources found/);
    assert.match(
      await kubectl.run(['api-resources', '--categories=selvedge', '-o', 'name']),
      /applications\.selvedge\.dev[\s\S]*sites\.selvedge\.dev/,
    );
  },

  'describe, with and without events': async (suite) => {
    const { kubectl, namespace } = suite;
    assert.match(await kubectl.run(['describe', 'ns', namespace]), /Status:\s+Active/);
    assert.match(await inside(suite)('describe', 'cm', 'shown-a'), /Data\n====\na:\n----\n1/);
    assert.match(await kubectl.run(['describe', 'site', `category-${namespace}`]), /Kind:\s+Site/);
    assert.match(await kubectl.run(['describe', 'clusterrole', 'view']), /PolicyRule/);
  },

  'api-resources and api-versions': async ({ kubectl }) => {
    const wide = await kubectl.run(['api-resources', '-o', 'wide', '--verbs=list', '--namespaced=true']);
    assert.match(wide, /leases\s+coordination\.k8s\.io\/v1\s+true\s+Lease\s+create,delete,/);
    assert.match(wide, /events\s+ev\s+events\.k8s\.io\/v1/);
    assert.match(
      await kubectl.run(['api-resources', '--api-group=rbac.authorization.k8s.io']),
      /ClusterRole\b/,
    );
    const versions = (await kubectl.run(['api-versions'])).split('\n');
    for (const version of [
      'v1',
      'authentication.k8s.io/v1',
      'authorization.k8s.io/v1',
      'coordination.k8s.io/v1',
      'events.k8s.io/v1',
      'rbac.authorization.k8s.io/v1',
      'selvedge.dev/v1alpha1',
    ]) {
      assert.ok(versions.includes(version), version);
    }
  },

  'explain knows every kind, in every version': async ({ kubectl, version }) => {
    assert.match(await kubectl.run(['explain', 'lease.spec.renewTime']), /string/);
    assert.match(await kubectl.fail(['explain', 'site.spec.none']), /does not exist/);
    const text = await kubectl.run(['explain', 'application', '--recursive']);
    assert.match(text, /waves\s+<\[\]Object>[\s\S]*percent\s+<integer>/);
    if (!explainsAll.includes(version.minor)) return;
    const { groups } = JSON.parse(await kubectl.run(['get', '--raw', '/apis'])) as {
      groups: { versions: { groupVersion: string }[] }[];
    };
    const served = ['v1', ...groups.flatMap((g) => g.versions.map((v) => v.groupVersion))];
    for (const version of served) {
      const path = version === 'v1' ? '/api/v1' : `/apis/${version}`;
      const { resources } = JSON.parse(await kubectl.run(['get', '--raw', path])) as {
        resources: { name: string; kind: string }[];
      };
      for (const { name, kind } of resources.filter((r) => !r.name.includes('/'))) {
        const text = await kubectl.run(['explain', name, '--api-version', version]);
        assert.match(text, new RegExp(`KIND:\\s+${kind}\\b`), `${version} ${name}`);
        assert.match(text, /metadata/, `${version} ${name}`);
      }
    }
  },

  'raw paths, cluster-info, version and config': async ({ kubectl, hub }) => {
    assert.match(
      await kubectl.run(['get', '--raw', '/apis/selvedge.dev/v1alpha1/sites?limit=1']),
      /"SiteList"/,
    );
    assert.match(await kubectl.run(['get', '--raw', '/openapi/v3']), /serverRelativeURL/);
    for (const path of ['/livez', '/healthz', '/readyz?verbose']) {
      assert.match(await kubectl.run(['get', '--raw', path]), /ok/);
    }
    assert.ok((await kubectl.run(['cluster-info'])).includes(`is running at`));
    assert.match(await kubectl.run(['version', '-o', 'json']), /"serverVersion"/);
    assert.ok((await kubectl.run(['config', 'view'])).includes(hub.url));
    assert.notEqual(await kubectl.run(['config', 'current-context']), '');
  },

  'proxy gives the API to whoever is on this machine': async ({ kubectl }) => {
    const proxy = kubectl.follow(['proxy', '--port=0']);
    try {
      await eventually(
        () => /:\d+$/.test(proxy.lines()[0] ?? ''),
        () => proxy.lines().join('\n'),
      );
      const port = /:(\d+)$/.exec(proxy.lines()[0] ?? '')?.[1];
      assert.match(await fetched(`http://127.0.0.1:${port}/api/v1/namespaces/default`), /"Namespace"/);
    } finally {
      await proxy.stop();
    }
  },

  'watches: only what is new, also as names and with selectors': async (suite) => {
    const { kubectl, namespace } = suite;
    const follow = ['get', 'cm', '-n', namespace, '-o', 'name', '-l', 'watched=yes', '--watch-only'];
    const watch = kubectl.follow(follow);
    try {
      const k = inside(suite);
      await k('create', 'configmap', 'unlabelled');
      await eventually(
        async () => {
          // The watch may begin later than this: label anew until it is seen.
          await k('label', 'cm', 'unlabelled', 'watched-');
          await k('label', 'cm', 'unlabelled', 'watched=yes');
          return watch.lines().includes('configmap/unlabelled');
        },
        () => watch.lines().join('\n'),
      );
    } finally {
      await watch.stop();
    }
  },

  'events, of all kinds and of one object': async (suite) => {
    const { kubectl, namespace } = suite;
    const event = `
apiVersion: events.k8s.io/v1
kind: Event
metadata: {name: told, namespace: ${namespace}}
regarding: {apiVersion: v1, kind: ConfigMap, name: shown-a, namespace: ${namespace}}
eventTime: "2026-01-01T00:00:00.000000Z"
reportingController: example.dev/teller
reportingInstance: one
action: Telling
reason: Told
note: told by the newer kind
type: Normal
`;
    assert.match(await kubectl.run(['create', '-f', '-'], { input: event }), /created/);
    const k = inside(suite);
    assert.match(
      await k('get', 'events', '--field-selector', 'involvedObject.name=shown-a'),
      /Told.*told by the newer kind/,
    );
    assert.match(
      await k('get', 'events.events.k8s.io', '--field-selector', 'regarding.name=shown-a', '-o', 'yaml'),
      /note: told by the newer kind/,
    );
    assert.match(await k('events', '--for', 'configmap/shown-a'), /Told/);
    assert.match(
      await k('patch', 'events.v1.events.k8s.io', 'told', '--type=merge', '-p', '{"note":"changed"}'),
      /patched/,
    );
    assert.equal(await k('get', 'event', 'told', '-o', 'jsonpath={.message}'), 'changed');
    await k('delete', 'events.v1.events.k8s.io', 'told');
  },
};

function fetched(url: string): Promise<string> {
  return new Promise((resolve, reject) => {
    get(url, (answer) => {
      let text = '';
      answer.setEncoding('utf8').on('data', (part: string) => {
        text += part;
      });
      answer.on('end', () => resolve(text));
    }).on('error', reject);
  });
}
