import assert from 'node:assert/strict';
import { test } from 'node:test';
import { defaultItemTerms, type ItemReport } from '@selvedge/api';
import type { DeliveryRow } from '@selvedge/store';
import { knownImageSizes } from './image-sizes.ts';

const time = '2026-01-01T00:00:00.000Z';

function row(site: string, receivedAt: string, images: ItemReport['images']): DeliveryRow {
  const named = { uid: 'u', epoch: 1, release: 'till-1', digest: `sha256:${'1'.repeat(64)}` };
  return {
    site,
    namespace: 'shop',
    application: 'till',
    applicationUid: named.uid,
    phase: 'Wanted',
    ...named,
    assignedAt: time,
    deadlineSeconds: 60,
    terms: defaultItemTerms,
    removal: 'Delete',
    rollout: '',
    wave: '',
    revision: 1,
    createRevision: 1,
    deleted: false,
    report: {
      id: 'Application/shop/till',
      ...named,
      state: 'Prepared',
      ...(images === undefined ? {} : { images }),
      sinceTime: time,
      observedTime: time,
      seq: 1,
      receivedAt,
    },
  };
}

test('the newest word of any site on the size of an image counts; who said nothing says nothing', () => {
  const { report: _, ...silent } = row('c', time, undefined);
  const rows = [
    row('a', '2026-01-02T00:00:00.000Z', [{ name: 'till:1', sizeBytes: 20 }]),
    row('b', '2026-01-01T00:00:00.000Z', [
      { name: 'till:1', sizeBytes: 10 },
      { name: 'base', sizeBytes: 5 },
    ]),
    row('d', time, undefined),
    silent,
  ];
  const expected = new Map([
    ['till:1', 20],
    ['base', 5],
  ]);
  assert.deepEqual(knownImageSizes(rows), expected);
  assert.deepEqual(knownImageSizes(rows.toReversed()), expected);
});
