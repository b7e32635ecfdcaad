import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { MetricRegistry } from './metric-registry.ts';
import { addProcessMetrics } from './process-metrics.ts';

describe('the metric registry', () => {
  test('writes what Prometheus reads', async () => {
    const registry = new MetricRegistry();
    const requests = registry.counter('requests_total', 'Requests.\nAll of them.', ['verb', 'path']);
    requests.of('get', '/a"b\\c\n').add();
    requests.of('get', '/a"b\\c\n').add(2);
    registry.gauge('open', 'Open ones.').of().set(3);
    const durations = registry.histogram({ name: 'seconds', help: 'Time.', labelNames: ['verb'] }, [0.1, 1]);
    for (const value of [0.05, 0.1, 0.5, 7]) durations.of('get').observe(value);
    registry.read({ name: 'read', help: 'Read.', type: 'gauge', labelNames: ['x'] }, () => [
      [['1'], 10],
      [['2'], Number.NaN],
    ]);
    assert.equal(
      await registry.text(),
      `# HELP requests_total Requests.\\nAll of them.
# TYPE requests_total counter
requests_total{verb="get",path="/a\\"b\\\\c\\n"} 3
# HELP open Open ones.
# TYPE open gauge
open 3
# HELP seconds Time.
# TYPE seconds histogram
seconds_bucket{verb="get",le="0.1"} 2
seconds_bucket{verb="get",le="1"} 3
seconds_bucket{verb="get",le="+Inf"} 4
seconds_sum{verb="get"} 7.65
seconds_count{verb="get"} 4
# HELP read Read.
# TYPE read gauge
read{x="1"} 10
`,
    );
  });

  test('a metric that cannot be read is left out, the others stay', async () => {
    const registry = new MetricRegistry();
    registry.read({ name: 'broken', help: 'Broken.', type: 'gauge', labelNames: [] }, () => {
      throw new Error('no /proc');
    });
    registry.counter('whole_total', 'Whole.');
    assert.doesNotMatch(await registry.text(), /broken/);
    assert.match(await registry.text(), /^whole_total 0$/m);
  });

  test('a name stands once, and labels are all given', () => {
    const registry = new MetricRegistry();
    const counter = registry.counter('a_total', 'A.', ['x']);
    assert.throws(() => registry.gauge('a_total', 'A.'), /is there already/);
    assert.throws(() => counter.of(), /has 1 labels/);
  });

  test('the process tells of its time, memory, files and event loop', async () => {
    const registry = new MetricRegistry();
    const stop = addProcessMetrics(registry);
    const text = await registry.text();
    stop();
    for (const name of ['process_cpu_seconds_total', 'process_resident_memory_bytes', 'process_open_fds']) {
      const [, value] = new RegExp(`^${name} ([\\d.e+]+)$`, 'm').exec(text) ?? [];
      assert.ok(Number(value) > 0, name);
    }
    assert.match(text, /^nodejs_eventloop_lag_seconds\{quantile="0\.99"\} [\d.e-]+$/m);
  });
});
