import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { plainPaint } from '../program/terminal.ts';
import { ago, now, sampleDelivery, sampleSite } from '../testing/sample-fleet.ts';
import { lifeFacts } from './life-facts.ts';
import { renderSite } from './render-site.ts';

const factsOf = (site: ReturnType<typeof sampleSite>) => Object.fromEntries(lifeFacts(site, now));

describe('when a site may change', () => {
  test('a site without rules has nothing to tell', () => {
    assert.deepEqual(lifeFacts(sampleSite('shop-1'), now), []);
  });

  test('windows say whether they are open, and what comes next in the time zone of the site', () => {
    const site = sampleSite('shop-1', {
      spec: {
        timeZone: 'Europe/Berlin',
        windows: {
          download: [{ schedule: '0 12 * * *', duration: '2h' }],
          activate: [{ schedule: '0 3 * * *', duration: '1h' }],
        },
      },
    });
    // It is noon in UTC, one o'clock at the site.
    assert.equal(factsOf(site)['Download'], 'open, closes in 60m, at 2026-03-01T13:00:00Z');
    assert.equal(factsOf(site)['Activate'], 'closed, opens in 14h, at 2026-03-02T02:00:00Z');
  });

  test('a blackout closes the window to activate, and says why', () => {
    const site = sampleSite('shop-1', {
      spec: { blackouts: [{ from: '2026-02-28', to: '2026-03-01', reason: 'stock-taking' }] },
    });
    assert.match(
      factsOf(site)['Activate'] ?? '',
      /^closed \(blackout: stock-taking\), opens in 12h, at 2026-03-02/,
    );
    assert.equal(factsOf(site)['Download'], undefined);
  });

  test('holds of the hub and of people at the site, and a wish to be in step', () => {
    const site = sampleSite('shop-1', {
      spec: { hold: { reason: 'works' } },
      status: {
        holds: [{ item: 'Application/shop/till', by: 'anna', reason: 'queue', sinceTime: ago(60) }],
        recovery: {
          action: 'Adopt',
          state: 'Requested',
          requestedBy: 'admin',
          requestedTime: ago(5),
          message: 'The site is silent.',
        },
      },
    });
    const facts = factsOf(site);
    assert.equal(facts['Hold'], 'works (selvedge site release shop-1)');
    assert.equal(facts['Held there'], 'Application/shop/till, by anna, 60s ago: queue');
    assert.equal(facts['Recovery'], 'Adopt requested by admin 5s ago. The site is silent.');
  });

  test('site show tells what the site follows while the hub is behind, and what a delivery waits for', () => {
    const site = sampleSite('shop-1', {
      status: {
        conditions: [
          {
            type: 'HubBehind',
            status: 'True',
            reason: 'AgentHasNewerState',
            message: 'use selvedge site adopt shop-1',
            lastTransitionTime: ago(5),
          },
        ],
        hubBehind: {
          agentEpoch: 9,
          stateDigest: 'sha256:0',
          applications: [{ name: 'shop/sign', release: 'sign-1', digest: 'sha256:1' }],
        },
      },
    });
    const delivery = sampleDelivery({
      state: 'Prepared',
      waiting: { reason: 'ActivateWindow', until: '2026-03-02T02:00:00.000Z' },
    });
    const text = renderSite({ site, deliveries: [delivery], now }, plainPaint);
    assert.match(text, /✗ use selvedge site adopt shop-1/);
    assert.match(text, /follows epoch 9:\nAPPLICATION +RELEASE *\nshop\/sign +sign-1/);
    assert.match(text, /waits for ActivateWindow until 2026-03-02T02:00:00\.000Z/);
  });
});
