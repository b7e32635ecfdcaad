import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { routesOf } from './endpoint-sync.ts';
import { serviceTable } from './service-table.ts';

const service = {
  key: 'shop/web',
  namespace: 'shop',
  name: 'web',
  isHeadless: false,
  selector: { app: 'web' },
  ports: [{ port: 80, targetPort: 'http', protocol: 'TCP' as const }],
  published: [],
  includesNotReady: false,
};
const pod = (ip: string, change: object = {}) => ({
  namespace: 'shop',
  labels: { app: 'web', tier: 'front' },
  ip,
  isReady: true,
  ports: { http: 8080 },
  ...change,
});

describe('where a Service leads', () => {
  test('to the ready pods of its namespace that its selector picks', () => {
    const candidates = [
      pod('10.0.0.3'),
      pod('10.0.0.2'),
      pod('10.0.0.4', { isReady: false }),
      pod('10.0.0.5', { namespace: 'other' }),
      pod('10.0.0.6', { labels: { app: 'db' } }),
      pod('10.0.0.7', { ports: {} }),
    ];
    const endpoints = [
      { ip: '10.0.0.2', port: 8080 },
      { ip: '10.0.0.3', port: 8080 },
    ];
    assert.deepEqual(routesOf(service, candidates), [{ protocol: 'TCP', port: 80, endpoints }]);
    const all = routesOf({ ...service, includesNotReady: true }, candidates)[0]?.endpoints.length;
    assert.equal(all, 3);
    assert.deepEqual(routesOf({ ...service, selector: {} }, candidates)[0]?.endpoints, []);
  });

  test('one transaction replaces all rules; a port without endpoints has none', () => {
    const table = serviceTable('10.0.0.9', [
      {
        protocol: 'TCP',
        port: 80,
        endpoints: [
          { ip: '10.0.0.2', port: 8080 },
          { ip: '10.0.0.3', port: 8081 },
        ],
      },
      { protocol: 'UDP', port: 53, endpoints: [{ ip: '10.0.0.2', port: 5353 }] },
      { protocol: 'TCP', port: 443, endpoints: [] },
    ]);
    assert.ok(table.startsWith('table ip selvedge\ndelete table ip selvedge\n'));
    assert.match(
      table,
      /ip daddr 10\.0\.0\.9 tcp dport 80 dnat ip to numgen inc mod 2 map \{ 0 : 10\.0\.0\.2 \. 8080, 1 : 10\.0\.0\.3 \. 8081 \}/,
    );
    assert.match(table, /udp dport 53 dnat ip to 10\.0\.0\.2:5353/);
    assert.doesNotMatch(table, /443/);
  });
});
