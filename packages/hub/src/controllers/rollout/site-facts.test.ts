import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { Condition, Site } from '@selvedge/api';
import { siteFacts } from './site-facts.ts';

const condition = (type: string, status: Condition['status'], reason: string): Condition => ({
  type,
  status,
  reason,
  message: `${type} because of ${reason}`,
  lastTransitionTime: '2026-01-01T00:00:00.000Z',
});
const site = (conditions: Condition[], rest: Partial<Pick<Site, 'spec' | 'status'>> = {}): Site => ({
  apiVersion: 'selvedge.dev/v1alpha1',
  kind: 'Site',
  metadata: { name: 'shop-1', labels: { tier: 'store' } },
  ...rest,
  status: { ...rest.status, conditions },
});
const hold = { reason: 'stocktaking', by: 'kim', sinceTime: '2026-01-01T00:00:00.000Z' };

describe('what a rollout knows of a site', () => {
  test('is since when it is in touch, and whether its silence is too long', () => {
    const inTouch = siteFacts(
      site([condition('Connected', 'True', 'Connected')]),
      '2026-01-01T00:00:05.000Z',
    );
    assert.equal(inTouch.connectedSince, Date.parse('2026-01-01T00:00:00.000Z'));
    assert.equal(inTouch.lastSeen, Date.parse('2026-01-01T00:00:05.000Z'));
    const restarted = Date.parse('2026-01-01T09:00:00.000Z');
    const afterRestart = siteFacts(site([condition('Connected', 'True', 'Connected')]), undefined, restarted);
    assert.equal(afterRestart.connectedSince, restarted, 'not for the time in which the hub was down');
    assert.deepEqual(inTouch.labels, { tier: 'store' });
    const away = siteFacts(site([condition('Connected', 'False', 'Away')]));
    assert.deepEqual([away.connectedSince, away.isOverdue], [undefined, false]);
    assert.equal(siteFacts(site([condition('Connected', 'False', 'Overdue')])).isOverdue, true);
    assert.equal(siteFacts(site([])).held, undefined);
  });

  test('is who holds it as a whole; a hold of one application is none of the whole site', () => {
    const byHub = siteFacts(site([], { spec: { hold: { reason: 'moving house' } } }));
    assert.equal(byHub.held?.reason, 'HubHold');
    assert.match(byHub.held.message, /moving house/);
    const byPerson = siteFacts(site([], { status: { holds: [hold] } }));
    assert.equal(byPerson.held?.reason, 'SiteHold');
    assert.match(byPerson.held.message, /kim: stocktaking/);
    const ofItem = { ...hold, item: 'Application/shop/till' };
    assert.equal(siteFacts(site([], { status: { holds: [ofItem] } })).held, undefined);
  });

  test('is that it follows no hub, which counts more than a hold', () => {
    const spec = { hold: { reason: 'moving house' } };
    const behind = condition('HubBehind', 'True', 'AgentAhead');
    const refused = condition('DesiredStateAccepted', 'False', 'BadSignature');
    assert.equal(siteFacts(site([behind, refused], { spec })).held?.reason, 'HubBehind');
    assert.equal(siteFacts(site([refused], { spec })).held?.reason, 'StateRefused');
    const inStep = [
      condition('HubBehind', 'False', 'InStep'),
      condition('DesiredStateAccepted', 'True', 'Accepted'),
    ];
    assert.equal(siteFacts(site(inStep)).held, undefined);
  });
});
