import {
  canonicalJson,
  type KubeObject,
  releaseContent,
  ReleaseResolver,
  type SiteFacts,
} from '@selvedge/api';
import { type Figure, figure } from '../figure.ts';

const manifestCount = 1000;
const siteCount = 1000;
const countries = ['de', 'fr', 'it', 'pl'];
const sizes = ['s', 'm', 'l'];

/** What one site applies of 1,000 manifests, worked out for each of 1,000 sites: overrides by country and by size, and variables of each site. */
export function measureRendering(tell: (line: string) => void): Figure[] {
  const manifests = Array.from({ length: manifestCount }, (_, at) => deployment(at));
  const content = releaseContent(manifests, { overrides: [...byCountry(), ...bySize()] }, 'till');
  const identity = { release: 'till-0123456789', application: 'till', namespace: 'shop' };
  tell(`${manifestCount} manifests (${canonicalJson(content).length} bytes) for ${siteCount} sites`);
  // The first site pays for what all share, as in the hub.
  const resolver = new ReleaseResolver(content, identity);
  const start = performance.now();
  const first = timeOf(() => resolveOne(resolver, siteOf(0)));
  for (let at = 1; at < siteCount; at++) resolveOne(resolver, siteOf(at));
  const all = performance.now() - start;
  // Without what is shared: each site by itself, as the agents do.
  const alone = timeOf(() => resolveOne(new ReleaseResolver(content, identity), siteOf(1)));
  return [
    figure('1,000 manifests for 1,000 sites with overrides and variables', all / 1000, {
      unit: 's',
      mark: { atMost: 20 },
    }),
    figure('of that per site', all / siteCount, { unit: 'ms' }),
    figure('the first site alone', first, { unit: 'ms' }),
    figure('one site by itself, nothing shared', alone, { unit: 'ms' }),
    figure('each site by itself to all together', (alone * siteCount) / all, { unit: '×' }),
  ];
}

function timeOf(work: () => void): number {
  const start = performance.now();
  work();
  return performance.now() - start;
}

function resolveOne(resolver: ReleaseResolver, site: SiteFacts): void {
  const resolved = resolver.resolve(site);
  if (resolved.faults !== undefined) throw new Error(JSON.stringify(resolved.faults));
  if (resolved.manifests.length !== manifestCount) throw new Error('manifests are missing');
  // What it gives is truly this site's.
  if (!canonicalJson(resolved.manifests[7]).includes(`"${String(site.variables['city'])}"`)) {
    throw new Error('a variable was not put in');
  }
}

function siteOf(at: number): SiteFacts {
  const country = countries[at % countries.length] as string;
  const size = sizes[at % sizes.length] as string;
  return { name: `shop-${at}`, labels: { country, size }, variables: { city: `city ${at}` } };
}

function deployment(at: number): KubeObject {
  const name = `part-${at}`;
  const labels = { app: name, tier: at % 2 === 0 ? 'web' : 'worker' };
  const env = [
    { name: 'NUMBER', value: String(at) },
    // Every tenth asks for a value of the site.
    ...(at % 10 === 7 ? [{ name: 'CITY', value: '${site.variables.city}' }] : []),
  ];
  const container = { name: 'main', image: `registry.example/shop/${name}:1.0`, env };
  return {
    apiVersion: 'apps/v1',
    kind: 'Deployment',
    metadata: { name, labels },
    spec: {
      replicas: 1,
      selector: { matchLabels: labels },
      template: { metadata: { labels }, spec: { containers: [container] } },
    },
  } as KubeObject;
}

function byCountry() {
  return countries.map((country) => ({
    name: country,
    siteSelector: { matchLabels: { country } },
    patches: [
      {
        target: { kind: 'Deployment', labelSelector: { matchLabels: { tier: 'web' } } },
        mergePatch: { metadata: { annotations: { country } } },
      },
    ],
  }));
}

function bySize() {
  return sizes.map((size, at) => ({
    name: size,
    siteSelector: { matchLabels: { size } },
    patches: [
      {
        target: { kind: 'Deployment', labelSelector: { matchLabels: { tier: 'worker' } } },
        mergePatch: { spec: { replicas: at + 1 } },
      },
    ],
  }));
}
