import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { type DesiredState, type SitePolicy, sitePolicy } from '@selvedge/api';
import { stateDigest } from '@selvedge/api/node';
import { BodyReader } from './body-reader.ts';
import { parseHeldState } from './parse-held-state.ts';

const stateWith = (policy: SitePolicy): DesiredState => ({
  hubId: 'hub',
  site: 'shop-1',
  siteUid: 'uid',
  epoch: 3,
  variables: {},
  policy,
  items: [],
  tombstones: [],
});

function parse(policy: unknown): DesiredState {
  const reader = new BodyReader('state');
  const state = stateWith(policy as SitePolicy);
  const held = parseHeldState(reader, { signed: 'x', state: JSON.parse(JSON.stringify(state)) }, 'held');
  reader.finish();
  return held.state;
}

describe('a held state', () => {
  test('keeps node groups and link as they were signed', () => {
    const policy = sitePolicy({
      nodeGroups: [
        { name: 'every' },
        {
          name: 'edge',
          nodeSelector: { 'a.io/b': 'c' },
          tolerations: [
            { operator: 'Exists' },
            { key: 'k', operator: 'Equal', value: 'v', effect: 'NoExecute', tolerationSeconds: 0 },
          ],
        },
      ],
      link: 'Full',
    });
    assert.equal(stateDigest(parse(policy)), stateDigest(stateWith(policy)));
    assert.equal(parse({ timeZone: 'UTC' }).policy.link, undefined);
  });

  test('keeps every field of the policy: else what was signed could never be adopted', () => {
    const policy: Required<SitePolicy> = {
      timeZone: 'Europe/Berlin',
      downloadWindows: [{ schedule: '0 2 * * *', durationSeconds: 60 }],
      activateWindows: [{ schedule: '0 3 * * *', durationSeconds: 60 }],
      blackouts: [{ from: '2026-12-20', to: '2026-12-26', reason: 'Christmas' }],
      hold: { reason: 'stocktaking' },
      nodeGroups: [{ name: 'edge', nodeSelector: { a: 'b' } }],
      link: 'Read',
      labels: { tier: 'store', 'example.com/empty': '' },
      sealed: [{ id: 'Secret/shop/till', version: 'v1' }],
      mirrors: [
        {
          uid: 'u',
          namespaces: ['shop'],
          selector: { matchLabels: { a: 'b' }, matchExpressions: [{ key: 'c', operator: 'Exists' }] },
          kinds: [{ apiVersion: 'apps/v1', kind: 'Deployment' }],
          secrets: ['s'],
          settleSeconds: 5,
        },
      ],
      depot: { bytesPerSecond: 1000, maxBytes: 10_000_000, hubRegistries: ['hub.example:6480'] },
      rack: {
        discovery: 'Record',
        networks: [{ name: 'lab', interface: 'eth1', dhcp: 'Own', address: '10.10.0.1/24' }],
        inspection: [],
        images: [],
        scripts: [],
        machines: [
          {
            name: 'm1',
            uid: 'u1',
            generation: 1,
            identity: { macAddresses: ['52:54:00:00:00:01'] },
            accepted: true,
            allocated: false,
            erase: 'None',
            wipeConsent: false,
            inspection: { tests: [] },
            requests: {},
          },
        ],
      },
    };
    assert.deepEqual(parse(policy).policy, policy);
  });

  const wrong: readonly (readonly [field: string, policy: object])[] = [
    ['policy.link', { link: 'Everything' }],
    ['policy.nodeGroups[0].nodeSelector[a]', { nodeGroups: [{ name: 'a', nodeSelector: { a: 1 } }] }],
    [
      'policy.nodeGroups[0].tolerations[0].effect',
      { nodeGroups: [{ name: 'a', tolerations: [{ effect: 'No' }] }] },
    ],
    ['policy.nodeGroups', { nodeGroups: {} }],
    ['policy.rack.machines', { rack: { discovery: 'Record', networks: [], images: [], machines: 'all' } }],
  ];
  for (const [field, policy] of wrong) {
    test(`with a wrong ${field} is refused`, () => {
      const message = `held.state.${field}`;
      assert.throws(
        () => parse({ timeZone: 'UTC', ...policy }),
        (error: Error) => error.message.includes(message),
      );
    });
  }
});
