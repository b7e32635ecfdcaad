import assert from 'node:assert/strict';
import { defaultItemTerms, type ItemReport } from '@selvedge/api';
import type { Assignment, DeliveryRow, FleetStore, SiteKey } from '@selvedge/store';

export const till = (site: string, change: Partial<Assignment> = {}): Assignment => ({
  site,
  namespace: 'shop',
  application: 'till',
  applicationUid: 'till-uid',
  release: 'till-1',
  digest: 'sha256:1',
  deadlineSeconds: 300,
  terms: defaultItemTerms,
  rollout: 'till-r1',
  wave: 'canary',
  ...change,
});

export const report = (change: Partial<ItemReport> = {}): ItemReport => ({
  id: 'Application/shop/till',
  uid: 'till-uid',
  epoch: 1,
  release: 'till-1',
  digest: 'sha256:1',
  state: 'Running',
  sinceTime: '2026-01-01T00:00:00Z',
  observedTime: '2026-01-01T00:00:01Z',
  seq: 1,
  ...change,
});

export const siteKey = (site: string, publicKey: string): SiteKey => ({
  site,
  siteUid: `${site}-uid`,
  publicKey,
  fingerprint: `SHA256:${publicKey}`,
  tokenUid: 'token',
  enrolledAt: '2026-01-01T00:00:00.000Z',
});

export const receivedAt = '2026-01-01T00:00:02.000Z';

export async function onlyRow(fleet: FleetStore, site: string): Promise<DeliveryRow> {
  const { rows } = await fleet.siteState(site);
  assert.equal(rows.length, 1);
  return rows[0] as DeliveryRow;
}
