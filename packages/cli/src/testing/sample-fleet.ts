import type {
  Application,
  Delivery,
  ItemReport,
  Release,
  Rollout,
  Site,
  SiteCounts,
  WaveStatus,
} from '@selvedge/api';

/** The instant at which tests ask. */
export const now = new Date('2026-03-01T12:00:00.000Z');
/** RFC 3339 of so many seconds before `now`. */
export const ago = (seconds: number): string => new Date(now.getTime() - seconds * 1000).toISOString();

const apiVersion = 'selvedge.dev/v1alpha1';

export function sampleSite(
  name: string,
  overrides: Partial<Pick<Site, 'spec' | 'status'>> & { labels?: Record<string, string> } = {},
): Site {
  return {
    apiVersion,
    kind: 'Site',
    metadata: { name, labels: overrides.labels ?? { tier: 'store' } },
    spec: { variables: { color: 'green' }, ...overrides.spec },
    status: {
      connectivity: 'Connected',
      lastSeenTime: ago(3),
      agent: {
        version: '0.1.0',
        keyFingerprint: 'SHA256:key',
        enrolledTime: ago(86_400),
        hostname: 'box',
        os: 'Debian 12',
        architecture: 'x64',
        runtime: 'podman 4.3.1',
      },
      applications: { wanted: 1, running: 1, progressing: 0, failed: 0 },
      ...overrides.status,
    },
  };
}

export function sampleApplication(
  overrides: { spec?: Partial<Application['spec']>; status?: Application['status'] } = {},
): Application {
  return {
    apiVersion,
    kind: 'Application',
    metadata: { name: 'till', namespace: 'shop', generation: 2 },
    spec: {
      source: { inline: { manifests: [] } },
      placement: { siteSelector: { matchLabels: { tier: 'store' } } },
      ...overrides.spec,
    },
    status: {
      observedGeneration: 2,
      release: 'till-aaaaaaaaaa',
      rollout: 'till-3',
      sites: sampleCounts({ wanted: 3, running: 1, progressing: 1, away: 1 }),
      ...overrides.status,
    },
  };
}

export function sampleRelease(variables: string[] = []): Release {
  return {
    apiVersion,
    kind: 'Release',
    metadata: { name: 'till-aaaaaaaaaa', namespace: 'shop', creationTimestamp: ago(320) },
    spec: { application: 'till', digest: `sha256:${'a'.repeat(64)}`, sizeBytes: 900, variables },
  };
}

/** Counts of sites; those that are not given are 0. */
export function sampleCounts(counts: Partial<SiteCounts>): SiteCounts {
  const none = {
    running: 0,
    progressing: 0,
    prepared: 0,
    held: 0,
    failed: 0,
    away: 0,
    overdue: 0,
    waiting: 0,
  };
  return { wanted: 0, ...none, ...counts };
}

const noSites = { succeeded: 0, prepared: 0, pending: 0, held: 0, failed: 0, away: 0, reverted: 0 };
export const passedCanary: WaveStatus = {
  name: 'canary',
  phase: 'Passed',
  sites: 1,
  ...noSites,
  succeeded: 1,
  startTime: ago(300),
  healthySince: ago(200),
  passTime: ago(100),
};
export const restInProgress: WaveStatus = {
  name: 'rest',
  phase: 'Progressing',
  sites: 2,
  ...noSites,
  pending: 2,
  startTime: ago(100),
};
export const canarySoaking: WaveStatus = {
  name: 'canary',
  phase: 'Soaking',
  sites: 1,
  ...noSites,
  succeeded: 1,
  startTime: ago(300),
  healthySince: ago(240),
};
export const restWaiting: WaveStatus = { name: 'rest', phase: 'Waiting', sites: 2, ...noSites };

export function sampleRollout(status: NonNullable<Rollout['status']> = {}): Rollout {
  return {
    apiVersion,
    kind: 'Rollout',
    metadata: { name: 'till-3', namespace: 'shop' },
    spec: {
      application: 'till',
      release: 'till-aaaaaaaaaa',
      digest: `sha256:${'a'.repeat(64)}`,
      strategy: {
        waves: [
          { name: 'canary', sites: 1, soak: '10m' },
          { name: 'rest', percent: 100 },
        ],
        deadline: '10m',
      },
    },
    status: {
      phase: 'Progressing',
      message: 'wave rest waits for shop-1',
      startTime: ago(300),
      waves: [passedCanary, restInProgress],
      ...status,
    },
  };
}

export function sampleDelivery(
  status: Partial<Delivery['status']> = {},
  spec: Partial<Delivery['spec']> = {},
): Delivery {
  const state: ItemReport['state'] = 'Running';
  return {
    apiVersion,
    kind: 'Delivery',
    metadata: { name: 'till.shop-1', namespace: 'shop' },
    spec: {
      application: 'till',
      site: 'shop-1',
      release: 'till-aaaaaaaaaa',
      digest: `sha256:${'a'.repeat(64)}`,
      epoch: 7,
      assignedTime: ago(100),
      rollout: 'till-3',
      wave: 'rest',
      ...spec,
    },
    status: {
      state,
      runningRelease: 'till-aaaaaaaaaa',
      pods: { wanted: 2, ready: 2 },
      sinceTime: ago(60),
      observedTime: ago(5),
      receivedTime: ago(5),
      connectivity: 'Connected',
      lastSeenTime: ago(3),
      ...status,
    },
  };
}
