import type { MetricRegistry } from '@selvedge/apiserver';
import type { SourceCounts } from '../sources/source-counts.ts';

/** How sources stand, and what it takes to read them. Of several hubs the leading one reads, and has them. */
export function addSourceMetrics(registry: MetricRegistry, counts: SourceCounts): void {
  registry.read(
    {
      name: 'selvedge_source_ready',
      help: '1: the source of the application was read well last; 0: SourceReady says why not.',
      type: 'gauge',
      labelNames: ['namespace', 'application', 'kind'],
    },
    () =>
      counts
        .states()
        .map(
          ({ namespace, application, kind, isReady }) =>
            [[namespace, application, kind], isReady ? 1 : 0] as const,
        ),
  );
  registry.read(
    {
      name: 'selvedge_source_looks_total',
      help: 'Looks at sources by what came of them: changed, unchanged, or the reason of SourceReady.',
      type: 'counter',
      labelNames: ['kind', 'result'],
    },
    () => counts.looks().map(({ kind, result, count }) => [[kind, result], count] as const),
  );
  registry.read(
    {
      name: 'selvedge_source_look_seconds_total',
      help: 'Time that looks at sources took, rendering included.',
      type: 'counter',
      labelNames: ['kind'],
    },
    () => counts.seconds().map(([kind, seconds]) => [[kind], seconds] as const),
  );
}
