import { configMaps } from '@selvedge/api';
import type { LinkedCluster } from '../../quickstart/lab/linked-cluster.ts';
import { type Figure, figure, median } from '../figure.ts';
import { configMapsPath } from './paths.ts';
import { inTurns, timed, type Ways } from './ways.ts';

const objects = 40;
const objectBytes = 800_000;
const rounds = 5;

/** One list of some 32 MB, bytes drained. */
export async function measureList({ cluster }: LinkedCluster, ways: Ways): Promise<Figure[]> {
  const client = cluster.client();
  for (let i = 0; i < objects; i++) {
    await client.create(configMaps, {
      apiVersion: 'v1',
      kind: 'ConfigMap',
      metadata: { name: `large-${i}`, namespace: 'linked' },
      data: { text: 'x'.repeat(objectBytes) },
    });
  }
  let bytes = 0;
  for (const way of [ways.direct, ways.through]) bytes = await way.drain(configMapsPath);
  const rates = await inTurns(rounds, async (way) => {
    const seconds = await timed(() => ways[way].drain(configMapsPath));
    return bytes / 1e6 / seconds;
  });
  const [direct, through] = [median(rates.direct), median(rates.through)];
  return [
    figure(`large list of ${Math.round(bytes / 1e6)} MB: direct`, direct, { unit: 'MB/s' }),
    figure('large list: through the link', through, { unit: 'MB/s' }),
    figure('large list: through the link to direct', through / direct, { unit: '×' }),
  ];
}
