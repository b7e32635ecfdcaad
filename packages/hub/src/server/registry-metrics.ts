import type { MetricRegistry } from '@selvedge/apiserver';
import type { RegistryCounts } from '../registry/registry-counts.ts';

/** What the registry of this hub does. */
export function addRegistryMetrics(registry: MetricRegistry, counts: RegistryCounts): void {
  registry.read(
    {
      name: 'selvedge_registry_requests_total',
      help: 'Requests to the image registry of this hub; code 0: the client was gone before there was an answer.',
      type: 'counter',
      labelNames: ['operation', 'code'],
    },
    () => [...counts.requests].map(([key, count]) => [key.split(' '), count] as const),
  );
  registry.read(
    {
      name: 'selvedge_registry_bytes_total',
      help: 'Bytes of bodies that clients pushed to the registry of this hub (received) and pulled from it (sent).',
      type: 'counter',
      labelNames: ['direction'],
    },
    () => Object.entries(counts.bytes).map(([direction, bytes]) => [[direction], bytes] as const),
  );
  const gauge = { type: 'gauge', labelNames: [] } as const;
  registry.read(
    {
      name: 'selvedge_registry_blobs',
      help: 'Blobs in the registry, as its last collection saw it.',
      ...gauge,
    },
    () => [[[], counts.stored.blobs]],
  );
  registry.read(
    {
      name: 'selvedge_registry_stored_bytes',
      help: 'Bytes of the blobs in the registry, as its last collection saw it.',
      ...gauge,
    },
    () => [[[], counts.stored.bytes]],
  );
  registry.read(
    {
      name: 'selvedge_registry_collected_bytes_total',
      help: 'Bytes of blobs that nothing referred to and that this hub removed.',
      type: 'counter',
      labelNames: [],
    },
    () => [[[], counts.collected.bytes]],
  );
}
