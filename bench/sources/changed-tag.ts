import { createHash } from 'node:crypto';
import { canonicalJson, type Delivery, type KubeObject, type RolloutStrategy } from '@selvedge/api';
import { type Figure, figure } from '../figure.ts';
import { BenchFleet } from '../rollout/bench-fleet.ts';

/** All at once: no wave has to wait for another. */
const rollout: RolloutStrategy = { waves: [{ name: 'all', percent: 100 }] };
const applicationBytes = 1_000_000;
const quietMilliseconds = 3000;

/** What one changed image tag in an application of 1 MB costs on the links of so many sites: everything until each has reported it Running. */
export async function measureChangedTag(
  { agents, data }: { agents: number; data: string | undefined },
  tell: (line: string) => void,
): Promise<Figure[]> {
  const before = manifestsWith('1.0');
  tell(`${agents} sites take an application of ${canonicalJson(before).length} bytes`);
  await using fleet = await BenchFleet.start(agents, data);
  const take = async (manifests: KubeObject[]): Promise<number> => {
    await fleet.untilQuiet(quietMilliseconds);
    const [former] = await fleet.until('all are there', () => true);
    const start = sum(fleet.link.passed);
    await fleet.apply('', rollout, manifests);
    const isNew = ({ spec, status }: Delivery) =>
      spec.release !== former?.spec.release &&
      status.state === 'Running' &&
      status.runningRelease === spec.release;
    await fleet.until('all run it', isNew);
    await fleet.untilQuiet(quietMilliseconds);
    return (sum(fleet.link.passed) - start) / agents;
  };
  const whole = await take(before);
  const changed = await take(manifestsWith('1.1'));
  return [
    figure(`one changed tag in a 1 MB application, ${agents} sites: bytes per site`, changed / 1000, {
      unit: 'KB',
      mark: { atMost: 4 },
    }),
    figure('the same application for the first time: bytes per site', whole / 1000, { unit: 'KB' }),
    figure('first time to changed tag', whole / changed, { unit: '×' }),
  ];
}

function sum({ toTarget, fromTarget }: { toTarget: number; fromTarget: number }): number {
  return toTarget + fromTarget;
}

/** Deployments and their ConfigMaps, as applications have them: words in the manifests, and data that compresses little. */
function manifestsWith(tag: string): KubeObject[] {
  const manifests: KubeObject[] = [];
  for (let i = 0, bytes = 0; bytes < applicationBytes; i++) {
    const name = `part-${i}`;
    const labels = { app: name, 'app.kubernetes.io/part-of': 'till' };
    // Only one of them changes.
    const image = `registry.example/shop/${name}:${i === 7 ? tag : '1.0'}`;
    const pair = [
      { apiVersion: 'v1', kind: 'ConfigMap', metadata: { name, labels }, data: { settings: settingsOf(i) } },
      {
        apiVersion: 'apps/v1',
        kind: 'Deployment',
        metadata: { name, labels },
        spec: {
          replicas: 2,
          selector: { matchLabels: labels },
          template: { metadata: { labels }, spec: { containers: [{ name: 'main', image }] } },
        },
      },
    ] as KubeObject[];
    manifests.push(...pair);
    bytes += canonicalJson(pair).length;
  }
  return manifests;
}

function settingsOf(seed: number): string {
  const lines = Array.from({ length: 60 }, (_, line) => {
    const value = createHash('sha256').update(`${seed}/${line}`).digest('base64');
    return `setting.${line} = ${value}`;
  });
  return `${lines.join('\n')}\n`;
}
