import assert from 'node:assert/strict';
import { generateKeyPairSync } from 'node:crypto';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { describe, test } from 'node:test';
import { archivedBlobName, type DesiredItem } from '@selvedge/api';
import { sha256Digest, systemClock } from '@selvedge/api/node';
import { importSite, type ImportWish } from '../commands/import-site.ts';
import { AgentDatabase } from '../state/agent-database.ts';
import { type CarriedState, findCarried, putCarried } from '../state/carried-state.ts';
import { findMeta } from '../state/enrolment-record.ts';
import { eventually, makeStateDir, startTestAgent, type TestAgent } from '../testing/test-agent.ts';
import { TestHub } from '../testing/test-hub.ts';
import { type ArchiveChanges, makeArchive, tarFile } from './testing/make-archive.ts';

function manifestsWith(text: string) {
  return [{ apiVersion: 'v1', kind: 'ConfigMap', metadata: { name: 'till' }, data: { text } }];
}

interface TestSite extends AsyncDisposable {
  readonly hub: TestHub;
  readonly stateDir: string;
  readonly agent: TestAgent;
  readonly first: DesiredItem;
}

/** A site that runs the first release, and whose link is cut then. */
async function startSite(): Promise<TestSite> {
  const dir = await makeStateDir();
  const hub = await TestHub.start({ waitSeconds: 1 });
  const first = hub.assign('till', manifestsWith('one'));
  const agent = startTestAgent({ stateDir: dir.path, token: hub.token(), longestWaitSeconds: 1 });
  await eventually('the first release runs', () => agent.driver.running.size === 1 && hub.reports.size === 1);
  await eventually('it is in force', () =>
    [...hub.reports.values()].every(({ runningDigest }) => runningDigest === first.digest),
  );
  hub.distort = () => undefined;
  return {
    hub,
    stateDir: dir.path,
    agent,
    first,
    async [Symbol.asyncDispose]() {
      await agent[Symbol.asyncDispose]();
      await hub.close();
      await dir[Symbol.asyncDispose]();
    },
  };
}

function importBytes(stateDir: string, bytes: Uint8Array, images?: ImportWish['images']): Promise<string> {
  return importSite({
    stateDir,
    file: '-',
    input: Readable.from([bytes]),
    by: 'anna',
    clock: systemClock,
    tell: () => {},
    signal: new AbortController().signal,
    ...(images === undefined ? {} : { images }),
  });
}

function runs(agent: TestAgent, { digest }: DesiredItem): boolean {
  return [...agent.driver.running.values()].some(({ item }) => item.digest === digest);
}

/** Of the state that the site follows. */
function epochOf(stateDir: string): number {
  const database = AgentDatabase.openReadOnly(stateDir);
  try {
    return (JSON.parse(findMeta(database, 'accepted') ?? '{"epoch":0}') as { epoch: number }).epoch;
  } finally {
    database.close();
  }
}

describe('importing an archive', { concurrency: false }, () => {
  test('a running agent follows what was carried to it while its hub is away, and tells it later', async () => {
    await using site = await startSite();
    const { hub, agent, stateDir } = site;
    const next = hub.assign('till', manifestsWith('two'));
    const kiosk = hub.assign('kiosk', manifestsWith('kiosk'));
    const file = join(stateDir, 'site.tar');
    await writeFile(file, await makeArchive(hub));
    const text = await importSite({
      stateDir,
      file,
      input: Readable.from([]),
      by: 'anna',
      clock: systemClock,
      tell: () => {},
      signal: new AbortController().signal,
    });
    assert.match(
      text,
      /Taken: 2 releases, 2 of them new here\.\nThe running agent follows this state now\.\n/,
    );
    await eventually('both run', () => runs(agent, next) && runs(agent, kiosk));
    assert.ok(!hub.blobRequests.some(({ digest }) => digest === next.digest));
    hub.distort = undefined;
    await eventually('the hub knows of the act', () => hub.acts.some(({ kind }) => kind === 'Import'));
    await eventually('and of the state', () => hub.requests.at(-1)?.epoch === hub.epoch);
    assert.match(hub.acts.find(({ kind }) => kind === 'Import')?.message ?? '', /epoch 3 was carried here/);
    assert.ok(hub.requests.every(({ refusal }) => refusal === undefined));
  });

  test('an agent that is stopped follows it when it starts, with the hub gone', async () => {
    await using site = await startSite();
    const { hub, agent, stateDir } = site;
    await agent.stop();
    const next = hub.assign('till', manifestsWith('two'));
    const archive = await makeArchive(hub);
    await hub.close();
    assert.match(await importBytes(stateDir, archive), /follows this state when it starts/);
    await using again = startTestAgent({ stateDir });
    await eventually('it runs', () => runs(again, next));
    assert.equal(epochOf(stateDir), 2);
  });

  test('an order to remove is carried out as from the network', async () => {
    await using site = await startSite();
    const { hub, agent, stateDir, first } = site;
    hub.remove(first);
    await importBytes(stateDir, await makeArchive(hub));
    await eventually('it is removed', () => agent.driver.running.size === 0);
  });

  test('taken twice, it changes nothing; what was lost meanwhile is brought back', async () => {
    await using site = await startSite();
    const { hub, agent, stateDir } = site;
    const next = hub.assign('till', manifestsWith('two'));
    const archive = await makeArchive(hub);
    await importBytes(stateDir, archive);
    await eventually('it runs', () => runs(agent, next));
    const database = AgentDatabase.open(stateDir);
    database.run('DELETE FROM content WHERE digest = ?', next.digest);
    database.close();
    const text = await importBytes(stateDir, archive);
    assert.match(text, /1 of them new here/);
    assert.match(text, /followed this very state already/);
    hub.distort = undefined;
    await eventually('one act was told', () => hub.acts.some(({ kind }) => kind === 'Import'));
    assert.equal(hub.acts.filter(({ kind }) => kind === 'Import').length, 1);
  });

  test('cut off at any place, nothing has changed; the whole file then takes', async () => {
    await using site = await startSite();
    const { hub, agent, stateDir, first } = site;
    const next = hub.assign('till', manifestsWith('two'));
    const archive = await makeArchive(hub);
    for (const length of [0, 300, 700, archive.length / 2, archive.length - 1025, archive.length - 10]) {
      const cut = archive.subarray(0, Math.floor(length));
      await assert.rejects(importBytes(stateDir, cut), /ends too early|no archive|damaged/, String(length));
      assert.equal(epochOf(stateDir), 1);
    }
    assert.ok(runs(agent, first));
    await importBytes(stateDir, archive);
    await eventually('it runs', () => runs(agent, next));
  });

  test('a value that does not open any more does not keep the state out', async () => {
    await using site = await startSite();
    const { hub, agent, stateDir } = site;
    await agent.stop();
    const next = hub.assign('till', manifestsWith('two'));
    await importBytes(stateDir, await makeArchive(hub));
    const database = AgentDatabase.open(stateDir);
    const carried = findCarried(database) as CarriedState;
    const id = 'Secret/default/keys';
    putCarried(database, { ...carried, sealed: [{ id, version: 'v1', signed: 'of another key' }] });
    database.close();
    await hub.close();
    await using again = startTestAgent({ stateDir });
    await eventually('it runs', () => runs(again, next));
  });

  test('a newer file that breaks off does not take away what waits for the agent', async () => {
    await using site = await startSite();
    const { hub, agent, stateDir } = site;
    await agent.stop();
    const next = hub.assign('till', manifestsWith('two'));
    await importBytes(stateDir, await makeArchive(hub));
    const older = await makeArchive(hub);
    hub.assign('till', manifestsWith('three'));
    const newer = await makeArchive(hub);
    await assert.rejects(importBytes(stateDir, newer.subarray(0, newer.length - 1100)), /too early/);
    await hub.close();
    await importBytes(stateDir, older);
    await using again = startTestAgent({ stateDir });
    await eventually('the whole one runs', () => runs(again, next));
  });
});

const other = manifestsWith('other');

/** What a file must not get through with, and what the person is told. */
const refused: readonly {
  readonly name: string;
  readonly change: (hub: TestHub, first: DesiredItem) => ArchiveChanges | Promise<ArchiveChanges>;
  readonly message: RegExp;
}[] = [
  {
    name: 'of another site',
    change: () => ({ head: { site: 'shop-2' } }),
    message: /the file is for site "shop-2", and this is site "shop-1"/,
  },
  {
    name: 'of the site before it was made again',
    change: () => ({ head: { siteUid: 'former' } }),
    message: /deleted and made again: export it anew/,
  },
  { name: 'of another hub', change: () => ({ head: { hubId: 'hub-2' } }), message: /from another hub/ },
  {
    name: 'of another site that was renamed by hand',
    change: (hub) => {
      hub.siteUid = 'site-uid-2';
      return { head: { siteUid: 'site-uid-1' } };
    },
    message: /is for siteUid "site-uid-2"/,
  },
  {
    name: 'of an older epoch',
    change: (hub) => {
      hub.epoch = 0;
      return {};
    },
    message: /epoch 0, made at .*already follows epoch 1: nothing goes back in time/,
  },
  {
    name: 'of another story under the same epoch',
    change: (hub) => {
      hub.epoch = 1;
      hub.variables = { city: 'Berlin' };
      return {};
    },
    message: /already follows another one of that epoch/,
  },
  {
    name: 'signed by somebody else',
    change: (hub) => {
      hub.signingKey = generateKeyPairSync('ed25519').privateKey;
      return {};
    },
    message: /not signed by the fleet key/,
  },
  {
    name: 'with a changed state',
    change: (hub) => ({ head: { state: { ...hub.state(), items: [] } } }),
    message: /is not what its signature covers|its signed state does not name/,
  },
  {
    name: 'with a state that is no state',
    change: (hub) => ({ head: { state: { ...hub.state(), items: 5 as never } } }),
    message: /damaged: its head cannot be read/,
  },
  {
    name: 'with content that is something else',
    change: () => ({
      files: (files) =>
        files.map((file) =>
          file.name.startsWith('content/') ? tarFile(file.name, 'x'.repeat(file.sizeBytes)) : file,
        ),
    }),
    message: /damaged: content\/sha256\/[0-9a-f]{64} is something else/,
  },
  {
    name: 'with content of another length',
    change: () => ({
      files: (files) =>
        files.map((file) => (file.name.startsWith('content/') ? tarFile(file.name, 'x') : file)),
    }),
    message: /not as long as its head says/,
  },
  {
    name: 'with content that nothing names',
    change: (hub) => {
      const { digest } = hub.assign('kiosk', other);
      hub.items = hub.items.filter((item) => item.digest !== digest);
      return { head: { contents: [{ digest, sizeBytes: 3 }] } };
    },
    message: /which its signed state does not name: it was changed/,
  },
  {
    name: 'with a part too many',
    change: () => ({ files: (files) => [...files, tarFile('keys/agent.key', 'x')] }),
    message: /a part keys\/agent\.key that it does not need/,
  },
  {
    name: 'with a part twice',
    change: () => ({ files: (files) => [...files, ...files.slice(1)] }),
    message: /a part content\/.* that it does not need/,
  },
  {
    name: 'without a part',
    change: () => ({ files: (files) => files.slice(0, 1) }),
    message: /lacks content\/sha256\/.*: copy or export it again/,
  },
  {
    name: 'of a newer kind',
    change: () => ({ head: { format: 'selvedge-site/v2' as never } }),
    message: /made by a newer hub\? Update the agent/,
  },
  {
    name: 'that is some other archive',
    change: () => ({ files: () => [tarFile('etc/passwd', 'x')] }),
    message: /no archive of a site: make one with "selvedge site export"/,
  },
];

test('a hostile, foreign, old or damaged file is refused, and what runs goes on', async (t) => {
  await using site = await startSite();
  const { hub, agent, stateDir, first } = site;
  const { epoch, items, siteUid, signingKey, variables } = hub;
  for (const { name, change, message } of refused) {
    await t.test(name, async () => {
      Object.assign(hub, { epoch, items, siteUid, signingKey, variables });
      hub.assign('till', manifestsWith('two'));
      const changes = await change(hub, first);
      await assert.rejects(importBytes(stateDir, await makeArchive(hub, changes)), message);
      assert.equal(epochOf(stateDir), epoch);
      assert.ok(runs(agent, first));
    });
  }
});

test('blobs of images are taken when an image of the site needs them, and no others', async () => {
  await using site = await startSite();
  const { hub, stateDir } = site;
  hub.assign('till', manifestsWith('two'));
  const [config, layer] = [Buffer.from('{}'), Buffer.from('a layer')];
  const part = (bytes: Buffer) => ({ digest: sha256Digest(bytes), size: bytes.length });
  const manifest = Buffer.from(JSON.stringify({ config: part(config), layers: [part(layer)] }));
  const images = [{ name: 'registry.example/till:1', digest: sha256Digest(manifest) }];
  const taken: string[] = [];
  const named: string[] = [];
  const sink: ImportWish['images'] = {
    expect: () => {},
    addBlob: async ({ digest }, content) => {
      assert.equal(sha256Digest(Buffer.concat(await Array.fromAsync(content))), digest);
      taken.push(digest);
      return true;
    },
    addImage: (image, digest) => {
      named.push(`${image} ${digest}`);
      return Promise.resolve(true);
    },
  };
  const blobs = [manifest, config, layer];
  const wrong: readonly (readonly [ArchiveChanges, RegExp])[] = [
    [{ images, blobs: [...blobs, Buffer.from('junk')] }, /no image of this site needs/],
    [{ images, blobs: [layer, manifest, config] }, /no image of this site needs/],
    [{ images: [], blobs }, /no image of this site needs/],
    [{ blobs }, /no image of this site needs/],
    [{ images, blobs, head: { signedImages: 'a.b.c' } }, /not signed by the hub/],
    [
      {
        images,
        blobs,
        files: (files) =>
          files.map((file) =>
            file.name === archivedBlobName('blobs', sha256Digest(manifest))
              ? tarFile(file.name, Buffer.alloc(file.sizeBytes, 'x'))
              : file,
          ),
      },
      /is something else/,
    ],
  ];
  for (const [changes, message] of wrong) {
    await assert.rejects(importBytes(stateDir, await makeArchive(hub, changes), sink), message);
    assert.deepEqual(named, []);
  }
  taken.length = 0;
  const text = await importBytes(stateDir, await makeArchive(hub, { images, blobs }), sink);
  assert.deepEqual(taken, blobs.map(sha256Digest));
  assert.deepEqual(named, [`registry.example/till:1 ${sha256Digest(manifest)}`]);
  assert.match(text, /1 image of 3 blobs, 3 of them new here/);
});
