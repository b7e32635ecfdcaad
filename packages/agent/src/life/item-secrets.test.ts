import assert from 'node:assert/strict';
import { test } from 'node:test';
import { releaseContent, sealedId, type SealedName } from '@selvedge/api';
import type { KeptValue, SealedStore } from '../credentials/sealed-store.ts';
import type { ContentStore } from '../state/content-store.ts';
import { ItemSecrets } from './item-secrets.ts';

const item = 'Application/shop/till';
const id = sealedId({ kind: 'Secret', namespace: 'shop', name: 'keys' });

/** With these versions here, the newest last. */
function secretsWith(here: readonly string[], listed: readonly string[]): ItemSecrets {
  const kept = here.map(
    (version): KeptValue => ({ version, value: { data: {} } as never, fetchedAt: new Date(0) }),
  );
  const store: Pick<SealedStore, 'find' | 'newest'> = {
    find: (name: SealedName) => kept.find(({ version }) => version === name.version),
    newest: () => kept.at(-1),
  };
  const content: Pick<ContentStore, 'find'> = {
    find: () => Buffer.from(JSON.stringify(releaseContent([], { secrets: [{ name: 'keys' }] }, 'till'))),
  };
  return new ItemSecrets({
    store: store as SealedStore,
    content: content as ContentStore,
    listed: () => listed.map((version) => ({ id, version })),
  });
}

test('until the listed value is here the one that was given last counts, not one that was taken back', () => {
  const secrets = secretsWith(['v1', 'v2'], ['v3']);
  assert.deepEqual(secrets.find(item, 'd', { given: { keys: 'v1' } }).versions, { keys: 'v1' });
  assert.deepEqual(secrets.find(item, 'd').versions, { keys: 'v2' });
  const arrived = secretsWith(['v1', 'v2', 'v3'], ['v3']);
  assert.deepEqual(arrived.find(item, 'd', { given: { keys: 'v1' } }).versions, { keys: 'v3' });
  assert.deepEqual(arrived.find(item, 'd', { kept: { keys: 'v2' } }).versions, { keys: 'v2' });
});

test('of what is not here nothing is found, and why is told', () => {
  const secrets = secretsWith([], []);
  assert.deepEqual(secrets.find(item, 'd'), { versions: {}, missing: ['keys'] });
  assert.match(secrets.describeMissing(item, ['keys']), /Secret keys has not arrived/);
});
