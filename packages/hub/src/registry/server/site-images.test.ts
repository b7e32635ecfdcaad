import assert from 'node:assert/strict';
import { test } from 'node:test';
import { canonicalJson, defaultSitePolicy, defaultItemTerms, type KubeObject } from '@selvedge/api';
import type { DeliveryRow, SiteState } from '@selvedge/store';
import { SiteImages } from './site-images.ts';

const host = 'hub.example:7300';

/** Sites that all are to run this content; it says how often that was read. */
function imagesOf(text: string) {
  const pod: KubeObject = { apiVersion: 'v1', kind: 'Pod', metadata: { name: 'web' } };
  const image = `${host}/shop/${text}`;
  const bytes = new TextEncoder().encode(canonicalJson([{ ...pod, spec: { containers: [{ image }] } }]));
  const reads = { count: 0 };
  const row: DeliveryRow = {
    site: '',
    namespace: 'shop',
    application: 'till',
    applicationUid: 'u',
    phase: 'Wanted',
    release: 'till-1',
    digest: 'sha256:one',
    epoch: 1,
    assignedAt: '2026-01-01T00:00:00Z',
    deadlineSeconds: 600,
    terms: defaultItemTerms,
    removal: 'Delete',
    rollout: '',
    wave: '',
    revision: 1,
    createRevision: 1,
    deleted: false,
  };
  const siteState = (site: string): Promise<SiteState> =>
    Promise.resolve({
      site,
      epoch: 1,
      variables: { track: site },
      policy: defaultSitePolicy,
      rows: [{ ...row, site }],
    });
  const images = new SiteImages({
    fleet: {
      siteState,
      findBlob: () => {
        reads.count += 1;
        return Promise.resolve(bytes);
      },
    },
    content: { findManifest: () => Promise.resolve(undefined) } as never,
    isOwn: (registry) => registry === host,
    mayApplicationsRead: (namespace, repository) => repository.startsWith(`${namespace}/`),
  });
  return { images, reads };
}

test('content that is the same for all sites is read once for all', async () => {
  const { images, reads } = imagesOf('web:1');
  for (let index = 0; index < 300; index += 1) {
    assert.equal(await images.mayRead(`shop-${index}`, 'shop/web', '1'), true);
    assert.equal(await images.mayRead(`shop-${index}`, 'shop/web', '2'), false);
    assert.equal(await images.mayRead(`shop-${index}`, 'bank/web', '1'), false);
  }
  assert.equal(reads.count, 1);
});

test('content with variables is read for each site, which may read what it names there', async () => {
  const { images, reads } = imagesOf('web:${site.variables.track}');
  for (const site of ['one', 'two', 'one', 'two']) {
    assert.equal(await images.mayRead(site, 'shop/web', site), true);
    assert.equal(await images.mayRead(site, 'shop/web', site === 'one' ? 'two' : 'one'), false);
  }
  assert.equal(reads.count, 2);
});

test('what machines of the site are installed with is read by any name of the hub that the policy says, and by no other', async () => {
  const digest = `sha256:${'a'.repeat(64)}`;
  const reference = (of: string) => `${of}/shop/debian@${digest}`;
  const mayRead = async (name: string, hubRegistries: string[], namespace = 'shop') => {
    const image = { name: 'system', architecture: 'amd64' as const, namespace, reference: reference(name) };
    const rack = {
      discovery: 'Record' as const,
      networks: [],
      inspection: [image],
      images: [],
      scripts: [],
      machines: [],
    };
    const policy = { ...defaultSitePolicy, rack, depot: { hubRegistries } };
    const images = new SiteImages({
      fleet: {
        siteState: (site) => Promise.resolve({ site, epoch: 1, variables: {}, policy, rows: [] }),
        findBlob: () => Promise.resolve(undefined),
      },
      content: { findManifest: () => Promise.resolve(undefined) } as never,
      isOwn: (registry) => registry === host,
      mayApplicationsRead: (of, repository) => repository.startsWith(`${of}/`),
    });
    return images.mayRead('berlin', 'shop/debian', digest);
  };
  assert.equal(await mayRead(host, []), true);
  assert.equal(await mayRead('127.0.0.1:7300', []), false);
  assert.equal(await mayRead('127.0.0.1:7300', ['127.0.0.1:7300']), true);
  assert.equal(await mayRead(host, [], 'other'), false);
});
