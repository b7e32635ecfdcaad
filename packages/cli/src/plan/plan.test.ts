import assert from 'node:assert/strict';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { PassThrough } from 'node:stream';
import { after, before, describe, test } from 'node:test';
import type { ApplicationPlan, ApplicationPlanStatus } from '@selvedge/api';
import { systemClock } from '@selvedge/api/node';
import { type CliProcess, plainPaint } from '../program/terminal.ts';
import { formatBytes } from '../render/bytes.ts';
import { readApplications } from './read-applications.ts';
import { needsPerson, renderPlan } from './render-plan.ts';

const now = new Date('2026-03-01T12:00:00Z');
const nobody = { count: 0, names: [] };
const planOf = (status: Partial<ApplicationPlanStatus> = {}): ApplicationPlan => ({
  apiVersion: 'selvedge.dev/v1alpha1',
  kind: 'ApplicationPlan',
  metadata: { name: 'till', namespace: 'shop' },
  status: {
    change: 'Changed',
    release: { name: 'till-aaaaaaaaaa', digest: 'sha256:a', sizeBytes: 812 },
    base: 'till-bbbbbbbbbb',
    sites: {
      added: nobody,
      changed: { count: 7, names: ['a', 'b', 'c', 'd', 'e', 'f', 'g'] },
      removed: nobody,
      unchanged: nobody,
    },
    manifests: {
      changes: [{ change: 'Changed', resource: 'ConfigMap/page', diff: '@@ -1 +1 @@\n-a: 1\n+a: 2' }],
      unchanged: 3,
    },
    waves: [
      {
        name: 'canary',
        count: 1,
        names: ['a'],
        away: 0,
        held: 1,
        expectedStartTime: now.toISOString(),
        expectedEndTime: '2026-03-03T02:15:00.000Z',
        basis: ['soaks for 10m'],
      },
    ],
    bytes: {
      manifestsPerSite: 812,
      manifests: 5684,
      images: [
        { name: 'reg.example/web:2', sites: 7, totalBytes: 30_000_000, source: 'Registry' },
        {
          name: 'reg.example/side:1',
          sites: 7,
          source: 'Unknown',
          reason: 'reg.example asks for credentials',
        },
      ],
      total: 30_005_684,
      perSite: [{ site: 'a', bytes: 4_286_526, isComplete: false }],
      isComplete: false,
    },
    missingVariables: [],
    notes: ['a note'],
    ...status,
  },
});

describe('a plan for people', () => {
  test('fields that cannot be changed in place, missing node groups and other rules are named', () => {
    const advice = 'give it another name';
    const change = { resource: 'Deployment/till', fields: ['spec.selector'], advice } as const;
    const plan = planOf({
      immutableChanges: [{ ...change, fields: [...change.fields], outcome: 'Refused' }],
      missingNodeGroups: { count: 1, names: ['b'], nodeGroups: ['cloud', 'edge'] },
      rules: { diff: '@@ -0,0 +1,2 @@\n+apply:\n+  drift: Report' },
    });
    assert.equal(needsPerson(plan), true);
    const text = renderPlan(plan, now, plainPaint);
    assert.match(
      text,
      /✗ Deployment\/till: spec\.selector cannot be changed in place, so sites refuse the release: give it another name/,
    );
    assert.match(
      text,
      /✗ none of the node groups cloud, edge is there at 1 site \(b\): it would not be offered/,
    );
    assert.match(
      text,
      /Rules \(spec\.apply, node groups\):\n {4}@@ -0,0 \+1,2 @@\n {4}\+apply:\n {4}\+ {2}drift: Report/,
    );
    const replaced = planOf({
      immutableChanges: [{ ...change, fields: [...change.fields], outcome: 'Replaced' }],
    });
    assert.equal(needsPerson(replaced), false);
    assert.match(renderPlan(replaced, now, plainPaint), /! Deployment\/till: spec\.selector cannot/);
  });

  test('what changes, where, when, how much, and what is not known', () => {
    const plan = planOf();
    assert.equal(needsPerson(plan), false);
    assert.equal(
      renderPlan(plan, now, plainPaint),
      `shop/till would go out anew: release till-aaaaaaaaaa, after till-bbbbbbbbbb

SITES     COUNT   NAMES
changed       7   a, b, c, d, e, …

Manifests (3 unchanged):
~ ConfigMap/page
    @@ -1 +1 @@
    -a: 1
    +a: 2

WAVE     SITES   AWAY   HELD   BEGINS   ENDS                            NAMES
canary       1   -      1      now      in 38h (2026-03-03 02:15 UTC)   a
The times rest on:
  canary: soaks for 10m

To be fetched: 29 MiB in all, and what is not known; the most by a: 4.1 MiB
WHAT                 SITES   BYTES       KNOWN FROM
manifests                7   5.6 KiB     exactly
reg.example/web:2        7   29 MiB      the registry: layers that the site does not have
reg.example/side:1       7   not known   reg.example asks for credentials

Note: a note

Nothing was changed.`,
    );
  });

  for (const [what, status, text] of [
    [
      'condemned content',
      {
        release: {
          ...planOf().status.release,
          condemned: { rollout: 'till-7', time: now.toISOString(), message: 'it crashed' },
        },
      },
      '✗ this content was condemned in till-7: it crashed',
    ],
    [
      'a removal that would be held',
      { removal: { isHeld: true, count: 9, names: ['x'], reason: 'TooMany', message: 'too many at once' } },
      '✗ the removal would be held: too many at once',
    ],
    [
      'variables that are missing',
      { missingVariables: [{ variable: 'port', count: 1, names: ['b'] }] },
      '✗ variable port is missing at 1 site (b): it would not be offered there',
    ],
  ] as const) {
    test(`${what} comes first and needs a person`, () => {
      const plan = planOf(status as Partial<ApplicationPlanStatus>);
      assert.equal(needsPerson(plan), true);
      assert.equal(renderPlan(plan, now, plainPaint).split('\n')[2], text);
    });
  }

  test('what a manifest holds cannot steer the terminal', () => {
    const diff = '@@ -0,0 +1 @@\n+a: \u001b[2Joops';
    const manifests = {
      changes: [{ change: 'Added' as const, resource: 'ConfigMap/x', diff }],
      unchanged: 0,
    };
    assert.ok(!renderPlan(planOf({ manifests }), now, plainPaint).includes('\u001b'));
  });

  test('bytes in the unit that people would take', () => {
    assert.deepEqual([0, 1023, 1024, 10_240, 5 * 1024 ** 3].map(formatBytes), [
      '0 B',
      '1023 B',
      '1.0 KiB',
      '10 KiB',
      '5.0 GiB',
    ]);
  });
});

describe('Applications in a file', () => {
  let folder = '';
  before(async () => {
    folder = await mkdtemp(join(tmpdir(), 'selvedge-plan-file-'));
  });
  after(() => rm(folder, { recursive: true }));

  const processWith = (stdin: string): CliProcess => {
    const stream = new PassThrough();
    stream.end(stdin);
    const out = new PassThrough();
    const { signal } = new AbortController();
    return { args: [], env: {}, stdin: stream, stdout: out, stderr: out, clock: systemClock, signal };
  };
  const read = (text: string) => readApplications('-', processWith(text));
  const application = (name: string) =>
    `apiVersion: selvedge.dev/v1alpha1\nkind: Application\nmetadata: {name: ${name}}\nspec: {paused: yes}\n`;

  test('all of several documents, and of lists; what else is there is named', async () => {
    const list = JSON.stringify({
      apiVersion: 'v1',
      kind: 'List',
      items: [{ apiVersion: 'selvedge.dev/v1alpha1', kind: 'Application', metadata: { name: 'c' } }],
    });
    const namespace = 'apiVersion: v1\nkind: Namespace\nmetadata: {name: shop}\n';
    const found = await read([application('a'), '', namespace, application('b'), list].join('---\n'));
    assert.deepEqual(
      found.applications.map(({ metadata }) => metadata.name),
      ['a', 'b', 'c'],
    );
    assert.deepEqual(found.others, ['Namespace/shop']);
    // YAML 1.1, as kubectl reads it.
    assert.deepEqual(found.applications[0]?.['spec'], { paused: true });
  });

  test('a file on disk', async () => {
    const file = join(folder, 'a.yaml');
    await writeFile(file, application('a'));
    assert.equal((await readApplications(file, processWith(''))).applications.length, 1);
  });

  for (const [what, text, message] of [
    ['nothing', '', /no Application/],
    ['something else', 'apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\n', /no Application/],
    [
      'an Application of others',
      'apiVersion: argoproj.io/v1alpha1\nkind: Application\nmetadata: {name: a}\n',
      /no Application/,
    ],
    ['no YAML', 'a: [1\n', /-: .*at line/],
    ['no object', '- 1\n', /every document has to be an object/],
    ['no name', 'apiVersion: selvedge.dev/v1alpha1\nkind: Application\nmetadata: {}\n', /metadata\.name/],
  ] as const) {
    test(`${what} is refused`, () => assert.rejects(read(text), message));
  }
});
