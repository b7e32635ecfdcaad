import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type Override, type Site, type SourceStatus, sites } from '@selvedge/api';
import { requireTool } from '@selvedge/testkit';
import { SourceLab } from '../testing/source-lab.ts';
import { combinationsToKeep, maxCombinations } from './helm-combinations.ts';

/** Each time that it is rendered it gives another password. */
const chart = (version: string) => ({
  'chart/Chart.yaml': `apiVersion: v2\nname: shop\nversion: ${version}\n`,
  'chart/recorded/stdout': `apiVersion: v1
kind: Secret
metadata:
  name: RELEASE-login
stringData:
  password: RANDOM
---
apiVersion: v1
kind: ConfigMap
metadata:
  name: RELEASE-page
data:
  values: 'VALUES'
`,
});

const overrides: Override[] = [
  { name: 'de', siteSelector: { matchLabels: { country: 'de' } }, helmValues: { language: 'de' } },
  { name: 'closed', siteSelector: { matchLabels: { closed: 'yes' } }, helmValues: { banner: 'closed' } },
];

async function untilVariants(lab: SourceLab, ...names: string[]): Promise<SourceStatus> {
  return lab.eventually(async () => {
    const source = (await lab.hub.application()).status?.source;
    assert.deepEqual(
      source?.variants?.map((variant) => variant.overrides.join('+')),
      names,
    );
    assert.ok(source);
    return source;
  });
}

async function label(lab: SourceLab, name: string, labels: Record<string, string | null>): Promise<void> {
  await lab.hub.client.mergePatch<Site>(sites, { name }, { metadata: { labels } });
}

test(
  'a chart is rendered only for combinations of overrides that are new, and keeps those that no site needs for the moment',
  requireTool('git'),
  async () => {
    await using lab = await SourceLab.start();
    await label(lab, 's1', { country: 'de' });
    lab.git.repository().commit(chart('1.0.0'));
    const { url } = lab.git.source();
    const source = { helm: { git: { url, path: 'chart', interval: '10s' } } };
    await lab.hub.apply({ source, overrides });
    const first = await untilVariants(lab, 'de');
    await lab.until('SourceRead');

    await label(lab, 's1', { closed: 'yes' });
    const second = await untilVariants(lab, 'de', 'de+closed');
    assert.deepEqual(
      { ...second, variants: [] },
      { ...first, variants: [] },
      'what was rendered before is the same',
    );
    assert.deepEqual(second.variants?.[0], first.variants?.[0]);
    const withBoth = await lab.eventually(async () => {
      const { status } = await lab.hub.application();
      assert.equal((await lab.hub.row('s1'))?.release, status?.release);
      const content = await lab.hub.fleet.findBlob(
        (await lab.hub.release(status?.release ?? '')).spec.digest,
      );
      // Its values: the name of the override stands in every release.
      assert.match(new TextDecoder().decode(content), /banner/);
      return status?.release;
    });

    await label(lab, 's1', { closed: null });
    await lab.hub.addSites('s2');
    await lab.eventually(async () => assert.equal((await lab.hub.row('s2'))?.release, withBoth));
    assert.deepEqual((await lab.hub.application()).status?.source, second);
    assert.equal((await lab.hub.application()).status?.release, withBoth);

    const commit = lab.git.repository().commit(chart('1.0.1'));
    await lab.untilRevision(commit);
    await untilVariants(lab, 'de');
  },
);

test('combinations that nobody needs make room for those that are needed', () => {
  const rendered = Array.from({ length: maxCombinations }, (_, n) => [`a${n}`]);
  const kept = combinationsToKeep(rendered, [['a7'], ['b']]);
  assert.equal(kept.length, maxCombinations);
  assert.ok(kept.some(([name]) => name === 'a7') && kept.some(([name]) => name === 'b'));
  assert.deepEqual(combinationsToKeep([['b'], ['a', 'b']], [['a']]), [['a'], ['a', 'b'], ['b']]);
});
