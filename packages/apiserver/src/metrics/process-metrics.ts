import { readdirSync, readFileSync } from 'node:fs';
import { monitorEventLoopDelay } from 'node:perf_hooks';
import type { MetricRegistry } from './metric-registry.ts';

/**
 * `process_*` as all Prometheus clients name them, and Node's own `nodejs_*`. Read from /proc where it is there. Call
 * what it returns when the registry is given up.
 */
export function addProcessMetrics(registry: MetricRegistry): () => void {
  const add = (
    type: 'counter' | 'gauge',
    name: string,
    ...[help, read]: [help: string, read: () => number]
  ) => registry.read({ name, help, type, labelNames: [] }, () => [[[], read()]]);
  add('counter', 'process_cpu_seconds_total', 'Time that all threads have been computing.', () => {
    const { user, system } = process.cpuUsage();
    return (user + system) / 1e6;
  });
  add('gauge', 'process_start_time_seconds', 'When the process began, as a Unix time.', () =>
    Math.round(performance.timeOrigin / 1000),
  );
  add('gauge', 'process_resident_memory_bytes', 'Memory in RAM.', () => process.memoryUsage.rss());
  add('gauge', 'process_open_fds', 'Open files and connections.', () => readdirSync('/proc/self/fd').length);
  add('gauge', 'process_max_fds', 'Most open files and connections that the system allows.', maxOpenFiles);
  add(
    'gauge',
    'nodejs_heap_size_used_bytes',
    'Memory of live JavaScript objects, and of dead ones not yet collected.',
    () => process.memoryUsage().heapUsed,
  );
  add(
    'gauge',
    'nodejs_external_memory_bytes',
    'Memory of buffers, outside of the JavaScript heap.',
    () => process.memoryUsage().external,
  );
  return addEventLoopLag(registry);
}

const quantiles = [50, 90, 99, 100];

/** Since the last reading, so that each scrape tells of its own interval. */
function addEventLoopLag(registry: MetricRegistry): () => void {
  // Each sample wakes an idle process.
  const resolutionMs = 50;
  const delay = monitorEventLoopDelay({ resolution: resolutionMs });
  delay.enable();
  const help = 'How late timers fire, since the last scrape: the event loop was busy with something else.';
  const description = {
    name: 'nodejs_eventloop_lag_seconds',
    help,
    type: 'gauge',
    labelNames: ['quantile'],
  } as const;
  registry.read(description, () => {
    const lag = (percent: number) => Math.max(0, delay.percentile(percent) / 1e9 - resolutionMs / 1e3);
    const series = quantiles.map((percent) => [[String(percent / 100)], lag(percent)] as const);
    delay.reset();
    return series;
  });
  return () => delay.disable();
}

function maxOpenFiles(): number {
  const [, limit] = /^Max open files\s+(\d+)/m.exec(readFileSync('/proc/self/limits', 'utf8')) ?? [];
  return Number(limit ?? Number.NaN);
}
