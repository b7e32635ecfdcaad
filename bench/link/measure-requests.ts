import { configMapsPath } from './paths.ts';
import { type Figure, figure, median } from '../figure.ts';
import { inTurns, timed, type Ways } from './ways.ts';

const single = { warmUp: 20, runs: 150 };
const parallel = { sessions: 50, requests: 300, rounds: 3 };

/** Reads of one small object, on connections that are open. */
export async function measureRequests(ways: Ways): Promise<Figure[]> {
  const path = `${configMapsPath}/small`;
  await ways.direct.request({
    method: 'POST',
    path: configMapsPath,
    body: JSON.stringify({ apiVersion: 'v1', kind: 'ConfigMap', metadata: { name: 'small' } }),
  });
  for (let i = 0; i < single.warmUp; i++)
    await Promise.all([ways.direct.drain(path), ways.through.drain(path)]);
  const times = await inTurns(single.runs, (way) => timed(() => ways[way].drain(path)));
  const direct = median(times.direct) * 1000;
  const through = median(times.through) * 1000;
  const rates = await inTurns(parallel.rounds, async (way) => {
    let left = parallel.requests;
    const seconds = await timed(() =>
      Promise.all(
        Array.from({ length: parallel.sessions }, async () => {
          while (left-- > 0) await ways[way].drain(path);
        }),
      ),
    );
    return parallel.requests / seconds;
  });
  const [directRate, throughRate] = [median(rates.direct), median(rates.through)];
  return [
    figure('one small read, kept connection: direct, median', direct, { unit: 'ms' }),
    figure('one small read, kept connection: through the link', through, { unit: 'ms' }),
    figure('one small read: added by the link', through - direct, { unit: 'ms', mark: { atMost: 20 } }),
    figure(`small reads, ${parallel.sessions} at once: direct`, directRate, { unit: 'req/s' }),
    figure(`small reads, ${parallel.sessions} at once: through the link`, throughRate, { unit: 'req/s' }),
  ];
}
