import assert from 'node:assert/strict';
import { chmodSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { events } from '@selvedge/api';
import {
  apply,
  type Checks,
  configMap,
  eventually,
  oldestFullMinor,
  refused,
  site,
} from './kubectl-suite.ts';

/** What every version has to do. */
export const smoke: Checks = {
  'apply makes, keeps and changes, with strategic merge and with JSON merge': async (suite) => {
    const { kubectl, namespace } = suite;
    const name = `smoke-${namespace}`;
    assert.match(await apply(suite, site(name)), /created/);
    assert.match(await apply(suite, site(name)), /unchanged/);
    assert.match(await apply(suite, site(name).replace('Berlin\n', 'Hamburg\n')), /configured/);
    assert.equal(await kubectl.run(['get', 'site', name, '-o', 'jsonpath={.spec.displayName}']), 'Hamburg');
    assert.match(await apply(suite, configMap(suite, 'cm', '{a: "1", b: "2"}')), /created/);
    assert.match(await apply(suite, configMap(suite, 'cm', '{a: "1"}')), /configured/);
    assert.equal(
      await kubectl.run(['get', 'cm', 'cm', '-n', namespace, '-o', 'jsonpath={.data}']),
      '{"a":"1"}',
    );
  },

  'get prints the columns of the kind': async ({ kubectl, namespace }) => {
    const text = await kubectl.run(['get', 'site', `smoke-${namespace}`]);
    assert.match(text, /^NAME\s+CONNECTIVITY.*AGE\nsmoke-/);
    assert.match(await kubectl.run(['get', 'cm', '-A']), /^NAMESPACE\s+NAME\s+DATA\s+AGE/);
    assert.match(await kubectl.run(['get', 'ns']), /Active/);
    assert.match(await kubectl.run(['describe', 'site', `smoke-${namespace}`]), /Display Name:\s+Hamburg/);
  },

  'apply --server-side, and its conflicts': async (suite) => {
    const { kubectl, version, namespace } = suite;
    if (version.minor < oldestFullMinor) return;
    const name = `ssa-${namespace}`;
    await apply(suite, site(name), '--server-side');
    assert.match(await apply(suite, site(name), '--server-side'), /serverside-applied/);
    const changed = site(name).replace('displayName: Berlin', 'displayName: Bremen');
    const conflict = await refused(suite, changed, '--server-side', '--field-manager=other');
    assert.match(conflict, /conflict with "kubectl".*\.spec\.displayName[\s\S]*--force-conflicts/);
    await apply(suite, changed, '--server-side', '--field-manager=other', '--force-conflicts');
    assert.equal(await kubectl.run(['get', 'site', name, '-o', 'jsonpath={.spec.displayName}']), 'Bremen');
  },

  'explain, api-resources': async ({ kubectl }) => {
    assert.match(await kubectl.run(['explain', 'application.spec.rollout.waves']), /percent\s+<integer>/);
    assert.match(await kubectl.run(['explain', 'configmap']), /data\s+<map\[string\]string>/);
    const resources = await kubectl.run(['api-resources']);
    for (const name of ['namespaces', 'secrets', 'sites', 'applications', 'deliveries'])
      assert.ok(resources.includes(name), name);
  },

  'an unknown field and a wrong type are refused by name': async (suite) => {
    const name = `bad-${suite.namespace}`;
    assert.match(
      await refused(suite, site(name, '  odd: 1')),
      /unknown field "spec\.odd"|unknown field "odd"/,
    );
    assert.match(await refused(suite, site(name, '  location: {latitude: north}')), /latitude/);
  },

  'create namespace, configmap and secret, and delete': async ({ kubectl, namespace }) => {
    const inside = ['-n', namespace];
    await kubectl.run(['create', 'configmap', 'made', '--from-literal=a=b', ...inside]);
    await kubectl.run(['create', 'secret', 'generic', 'made', '--from-literal=password=x', ...inside]);
    assert.equal(
      await kubectl.run(['get', 'secret', 'made', ...inside, '-o', 'jsonpath={.data.password}']),
      'eA==',
    );
    assert.match(
      await kubectl.run(['delete', 'configmap/made', 'secret/made', ...inside]),
      /deleted[\s\S]*deleted/,
    );
    assert.match(await kubectl.fail(['get', 'cm', 'made', ...inside]), /configmaps "made" not found/);
  },
};

/** What people do with it every day. */
export const everyday: Checks = {
  'get: wide, yaml, name, selectors, managed fields only when asked for': async (suite) => {
    const { kubectl, namespace } = suite;
    const name = `get-${namespace}`;
    await apply(suite, site(name), '--server-side');
    assert.ok(
      (await kubectl.run(['get', 'site', '-o', 'wide'])).length > (await kubectl.run(['get', 'site'])).length,
    );
    const yaml = await kubectl.run(['get', 'site', name, '-o', 'yaml']);
    assert.match(yaml, /timeZone: Europe\/Berlin/);
    assert.doesNotMatch(yaml, /managedFields/);
    assert.match(
      await kubectl.run(['get', 'site', name, '-o', 'yaml', '--show-managed-fields']),
      /manager: kubectl\n/,
    );
    assert.equal(
      await kubectl.run(['get', 'site', '-l', `suite=${name}`, '-o', 'name']),
      `site.selvedge.dev/${name}`,
    );
    assert.equal(
      await kubectl.run(['get', 'site', '--field-selector', `metadata.name=${name}`, '-o', 'name']),
      `site.selvedge.dev/${name}`,
    );
    assert.match(await kubectl.fail(['get', 'site', '-l', 'a=,=b']), /selector/);
    assert.match(await kubectl.fail(['get', 'site', '--field-selector', 'spec.none=1']), /not supported/);
  },

  'get --raw reaches any path': async ({ kubectl }) => {
    assert.equal(await kubectl.run(['get', '--raw', '/readyz']), 'ok');
    assert.match(await kubectl.run(['get', '--raw', '/version']), /selvedge/);
    assert.match(await kubectl.run(['version']), /Server Version: .*selvedge/);
  },

  'get -w follows changes': async ({ kubectl, namespace }) => {
    const inside = ['-n', namespace];
    await kubectl.run(['create', 'configmap', 'watched', ...inside]);
    const watch = kubectl.follow(['get', 'cm', '-w', '--field-selector', 'metadata.name=watched', ...inside]);
    try {
      await eventually(
        () => watch.lines().length >= 2,
        () => watch.lines().join('\n'),
      );
      await kubectl.run(['patch', 'cm', 'watched', '-p', '{"data":{"a":"1","b":"2"}}', ...inside]);
      await eventually(
        () => watch.lines().some((line) => /^watched\s+2\s/.test(line)),
        () => watch.lines().join('\n'),
      );
    } finally {
      await watch.stop();
    }
  },

  'describe shows the events of an object': async ({ kubectl, namespace, hub }) => {
    const inside = ['-n', namespace];
    await kubectl.run(['create', 'configmap', 'eventful', ...inside]);
    const uid = await kubectl.run(['get', 'cm', 'eventful', ...inside, '-o', 'jsonpath={.metadata.uid}']);
    await hub.client.create(events, {
      apiVersion: 'v1',
      kind: 'Event',
      metadata: { name: '', generateName: 'eventful.', namespace },
      involvedObject: { apiVersion: 'v1', kind: 'ConfigMap', name: 'eventful', namespace, uid },
      type: 'Normal',
      reason: 'Tested',
      message: 'an event for describe',
      count: 1,
      firstTimestamp: '2026-01-01T00:00:00Z',
      lastTimestamp: '2026-01-01T00:00:00Z',
    });
    assert.match(
      await kubectl.run(['describe', 'cm', 'eventful', ...inside]),
      /Tested.*an event for describe/,
    );
    assert.match(await kubectl.run(['get', 'events', ...inside]), /Tested/);
  },

  'edit sends what the editor changed': async ({ kubectl, namespace, directory }) => {
    const editor = join(directory, 'editor.sh');
    writeFileSync(editor, '#!/bin/sh\nsed -i "s/displayName: .*/displayName: Edited/" "$1"\n');
    chmodSync(editor, 0o755);
    await kubectl.run(['edit', 'site', `get-${namespace}`], { env: { KUBE_EDITOR: editor } });
    assert.match(await kubectl.run(['get', 'site', `get-${namespace}`, '-o', 'yaml']), /displayName: Edited/);
  },

  'label and annotate': async ({ kubectl, namespace }) => {
    const name = `get-${namespace}`;
    await kubectl.run(['label', 'site', name, `tier=${namespace}`, 'suite-']);
    await kubectl.run(['annotate', 'site', name, 'note=hello world']);
    assert.match(await kubectl.run(['get', 'site', name, '--show-labels']), new RegExp(`tier=${namespace}`));
    assert.match(await kubectl.fail(['label', 'site', name, 'tier=other']), /overwrite/);
    assert.match(await kubectl.fail(['label', 'site', name, 'bad key=x']), /name part must/);
  },

  'patch in all its types, status too': async ({ kubectl, namespace }) => {
    const name = `get-${namespace}`;
    const inside = ['-n', namespace];
    const patch = (type: string, body: string, ...rest: string[]) =>
      kubectl.run(['patch', 'site', name, '--type', type, '-p', body, ...rest]);
    await patch('merge', '{"spec":{"displayName":"Merged"}}');
    await patch('json', '[{"op":"replace","path":"/spec/timeZone","value":"UTC"}]');
    await patch(
      'merge',
      '{"status":{"conditions":[{"type":"Tested","status":"False","reason":"Test","message":"m","lastTransitionTime":"2026-01-01T00:00:00Z"}]}}',
      '--subresource=status',
    );
    const [displayName, timeZone] = (
      await kubectl.run(['get', 'site', name, '-o', 'jsonpath={.spec.displayName} {.spec.timeZone}'])
    ).split(' ');
    assert.deepEqual([displayName, timeZone], ['Merged', 'UTC']);
    await kubectl.run(['patch', 'cm', 'cm', '--type', 'strategic', '-p', '{"data":{"z":"26"}}', ...inside]);
    assert.equal(await kubectl.run(['get', 'cm', 'cm', ...inside, '-o', 'jsonpath={.data.z}']), '26');
    assert.match(
      await kubectl.fail(['patch', 'site', name, '--type', 'strategic', '-p', '{}']),
      /not supported|UnsupportedMediaType|unable to find api field/i,
    );
  },

  'replace needs what exists': async (suite) => {
    const { kubectl, namespace } = suite;
    const name = `get-${namespace}`;
    const json = await kubectl.run(['get', 'site', name, '-o', 'json']);
    await kubectl.run(['replace', '-f', '-'], { input: json.replace('Merged', 'Replaced') });
    assert.match(await kubectl.fail(['replace', '-f', '-'], { input: json }), /the object has been modified/);
    assert.match(
      await kubectl.fail(['replace', '-f', '-'], { input: site(`none-${namespace}`) }),
      /not found/,
    );
  },

  'diff shows what an apply would change, and changes nothing': async (suite) => {
    const { kubectl, namespace } = suite;
    await apply(suite, configMap(suite, 'diffed', '{a: "1"}'));
    const changed = configMap(suite, 'diffed', '{a: "2"}');
    for (const flags of [[], ['--server-side', '--force-conflicts']]) {
      const { code, stdout } = await kubectl.try(['diff', '-f', '-', ...flags], { input: changed });
      assert.equal(code, 1);
      assert.match(stdout, /-\s+a: "1"\n\+\s+a: "2"/);
    }
    assert.equal(
      await kubectl.run(['get', 'cm', 'diffed', '-n', namespace, '-o', 'jsonpath={.data.a}']),
      '1',
    );
    assert.match(await apply(suite, changed, '--dry-run=server'), /server dry run/);
    assert.equal(
      await kubectl.run(['get', 'cm', 'diffed', '-n', namespace, '-o', 'jsonpath={.data.a}']),
      '1',
    );
  },

  'wait for a field, a condition and a deletion': async ({ kubectl, namespace }) => {
    const name = `get-${namespace}`;
    const wait = (what: string) => kubectl.run(['wait', `site/${name}`, `--for=${what}`, '--timeout=30s']);
    assert.match(await wait('jsonpath={.spec.timeZone}=UTC'), /condition met/);
    const condition = wait('condition=Tested=True');
    const met =
      '{"status":{"conditions":[{"type":"Tested","status":"True","reason":"Test","message":"m","lastTransitionTime":"2026-01-01T00:00:00Z"}]}}';
    await sleep(300);
    await kubectl.run(['patch', 'site', name, '--type=merge', '--subresource=status', '-p', met]);
    assert.match(await condition, /condition met/);
    await kubectl.run(['create', 'configmap', 'leaving', '-n', namespace]);
    const deletion = kubectl.run(['wait', 'cm/leaving', '-n', namespace, '--for=delete', '--timeout=30s']);
    await sleep(300);
    await kubectl.run(['delete', 'cm', 'leaving', '-n', namespace]);
    await deletion;
  },

  'bad input is refused with what is wrong': async (suite) => {
    const { kubectl, namespace } = suite;
    const name = `bad-${namespace}`;
    const create = (input: string, ...flags: string[]) =>
      kubectl.try(['create', '-f', '-', ...flags], { input });
    assert.match(
      (await create(site(name, '  odd: 1'))).stderr,
      /strict decoding error: unknown field "spec\.odd"/,
    );
    const warned = await create(site(name, '  odd: 1'), '--validate=warn');
    assert.equal(warned.code, 0);
    assert.match(warned.stderr, /Warning: unknown field "spec\.odd"/);
    assert.match(await refused(suite, site('Bad_Name')), /metadata\.name: Invalid value: "Bad_Name"/);
    assert.match(
      await refused(suite, configMap(suite, 'x', '{a: 1}'), '--server-side'),
      /\.data\.a: expected string/,
    );
    const nowhere = configMap({ ...suite, namespace: 'nowhere' }, 'x', '{}');
    assert.match(await refused(suite, nowhere), /namespaces "nowhere" not found/);
    const big = configMap(suite, 'big', `{a: "${'x'.repeat(4 * 1024 * 1024)}"}`);
    assert.match(await refused(suite, big, '--server-side'), /3 MiB.*split it/);
    const deliveries = `/apis/selvedge.dev/v1alpha1/namespaces/${namespace}/deliveries`;
    assert.match(await kubectl.fail(['delete', '--raw', `${deliveries}/x`]), /read-only/);
    assert.match((await kubectl.try(['get', 'deliveries', '-n', namespace])).stderr, /No resources found/);
  },
};
