import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { chmod, mkdir, open, readdir, readFile, rm, truncate, utimes, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { gzipSync, zstdCompressSync } from 'node:zlib';
import type { RackImage } from '@selvedge/api';
import { FakeClock } from '@selvedge/testkit';
import { createLogger, systemClock } from '@selvedge/api/node';
import { openImageLibrary } from './open-image-library.ts';
import { ImageFolder } from './testing/image-folder.ts';
import { openLibrary, readDisk, temporaryFolder, until } from './testing/store-under-test.ts';
import type { RackImageLibrary } from './rack-image-library.ts';

const mib = 1024 * 1024;

interface Lab {
  readonly folder: string;
  readonly directory: string;
  readonly artifacts: ImageFolder;
  readonly library: RackImageLibrary;
}

async function startLab(t: TestContext): Promise<Lab> {
  const folder = await temporaryFolder(t);
  const artifacts = new ImageFolder(join(folder, 'artifacts'));
  const directory = join(folder, 'images');
  return { folder, directory, artifacts, library: await openLibrary(t, { directory, artifacts }) };
}

function fileOf({ directory }: Lab, image: RackImage, kind: string): string {
  return join(directory, `${image.digest.slice(7)}-${image.format.toLowerCase()}.${kind}`);
}

/** What the library has of an image, once it is whole. */
function whole(library: RackImageLibrary, image: RackImage) {
  return until(`${image.name} is whole`, () => library.find(image));
}

async function failed(library: RackImageLibrary, image: RackImage): Promise<string> {
  const fault = await until(`${image.name} has failed`, () => library.fault(image));
  return `${fault.reason} ${fault.message}`;
}

async function spoil(path: string, at: number): Promise<void> {
  const file = await open(path, 'r+');
  await file.write(Buffer.from('spoilt'), 0, 6, at);
  await file.close();
}

test('an image is unpacked once, given to all who ask, and found again after a restart without its artifact', async (t) => {
  const lab = await startLab(t);
  const { library, artifacts } = lab;
  const bytes = randomBytes(5 * mib);
  const image = await artifacts.add(zstdCompressSync(bytes), { name: 'debian' });
  assert.equal(await library.find(image), undefined);
  library.setWanted([image, { ...image, name: 'same' }], [], true);
  const disk = await whole(library, image);
  assert.equal(await library.find({ ...image, name: 'same' }), disk);
  assert.ok(bytes.equals(await readDisk(disk)));
  await until('both are ready', () => library.states().every(({ state }) => state === 'Ready') || undefined);
  assert.deepEqual(artifacts.needed, [image.reference]);
  await library.close();
  await rm(join(lab.folder, 'artifacts'), { recursive: true });
  const again = await openLibrary(t, lab);
  assert.ok(bytes.equals(await readDisk((await again.find(image)) ?? assert.fail())));
  again.setWanted([image], [], false);
  await until('it is ready', () => again.states()[0]?.state === 'Ready' || undefined);
});

test('nothing is fetched outside a download window, and it goes on inside', async (t) => {
  const { library, artifacts, folder } = await startLab(t);
  const image = await artifacts.add(gzipSync(randomBytes(1000)), { name: 'debian' });
  const path = join(folder, 'artifacts', image.digest.slice(7));
  const bytes = await readFile(path);
  await rm(path);
  library.setWanted([image], [], false);
  await until('it waits', () => library.states()[0]?.message?.includes('until downloads') || undefined);
  assert.equal(library.fault(image), undefined);
  library.setWanted([image], [], true);
  await until('the registry is away', () => library.states()[0]?.message?.includes('away') || undefined);
  assert.equal(library.states()[0]?.state, 'Fetching');
  assert.match(await failed(library, image), /ImageUnavailable .*away/);
  await writeFile(path, bytes);
  library.setWanted([image], [], false);
  await whole(library, image);
  await until('nothing is wrong', () => library.fault(image) === undefined || undefined);
});

test('what the order says of an image and what it is have to agree', async (t) => {
  const { library, artifacts } = await startLab(t);
  const small = { ...(await artifacts.add(randomBytes(2 * mib), { name: 'small' })), diskBytes: mib };
  const other = { ...small, name: 'other', digest: `sha256:${'0'.repeat(64)}` };
  const format = { ...(await artifacts.add(randomBytes(mib), { name: 'format' })), format: 'QCOW2' } as const;
  const nonsense = { ...small, name: 'nonsense', digest: 'sha256:../../etc' };
  library.setWanted([small, other, format, nonsense], [], true);
  assert.match(await failed(library, small), /ImageMismatch .*1048576 bytes.*diskBytes/);
  assert.match(await failed(library, other), /ImageMismatch .*no layer sha256:0000.*its layers are: sha256/);
  assert.match(await failed(library, format), /ImageMismatch .*no qcow2/);
  assert.match(await failed(library, nonsense), /no digest/);
  // One may be at its next try.
  await until(
    'all have failed',
    () => library.states().every(({ state }) => state === 'Failed') || undefined,
  );
  assert.deepEqual(
    library.states().map(({ name, state }) => `${name} ${state}`),
    ['format Failed', 'nonsense Failed', 'other Failed', 'small Failed'],
  );
  assert.equal(await library.find(small), undefined);
  // The same layer may be right for another image.
  const right = { ...small, name: 'right', diskBytes: 2 * mib };
  library.setWanted([small, right], [], true);
  await whole(library, right);
  assert.equal(await library.find(small), undefined);
});

test('a layer that the disk changed in the depot is not unpacked', async (t) => {
  const { library, artifacts, folder } = await startLab(t);
  const image = await artifacts.add(randomBytes(mib), { name: 'debian' });
  await spoil(join(folder, 'artifacts', image.digest.slice(7)), 1000);
  library.setWanted([image], [], true);
  assert.match(await failed(library, image), /damaged in the depot/);
});

test('an unpacked disk that turns out to be damaged is unpacked again', async (t) => {
  const lab = await startLab(t);
  const { library, artifacts } = lab;
  const bytes = randomBytes(5 * mib);
  const image = await artifacts.add(bytes, { name: 'debian' });
  library.setWanted([image], [], true);
  const disk = await whole(library, image);
  await spoil(fileOf(lab, image, 'raw'), 4.5 * mib);
  await assert.rejects(readDisk(disk), /chunk 1 /);
  const anew = await until('it is unpacked again', async () => {
    const found = await library.find(image);
    return found === disk ? undefined : found;
  });
  assert.ok(bytes.equals(await readDisk(anew)));
});

test('whoever is killed while unpacking begins again, and a damaged or half-written store is as an empty one', async (t) => {
  const lab = await startLab(t);
  const { library, artifacts, directory } = lab;
  const bytes = randomBytes(5 * mib);
  const image = await artifacts.add(bytes, { name: 'debian' });
  library.setWanted([image], [], true);
  await whole(library, image);
  await library.close();
  const raw = fileOf(lab, image, 'raw');
  const map = fileOf(lab, image, 'map');
  const rawBytes = await readFile(raw);
  const mapBytes = await readFile(map);
  const leftovers: readonly (() => Promise<void>)[] = [
    () => rm(map),
    () => rm(raw),
    () => truncate(raw, 100),
    () => truncate(map, 60),
    () => spoil(map, 30),
    async () => {
      await rm(map);
      await writeFile(fileOf(lab, image, 'tmp'), 'half');
      await writeFile(fileOf(lab, image, 'tmp.part'), 'half');
      await writeFile(`${map}.0123456789ab.tmp`, 'half');
    },
  ];
  for (const leave of leftovers) {
    await writeFile(raw, rawBytes);
    await writeFile(map, mapBytes);
    await leave();
    const again = await openLibrary(t, lab);
    again.setWanted([image], [], false);
    assert.ok(bytes.equals(await readDisk(await whole(again, image))));
    await again.close();
    assert.deepEqual((await readdir(directory)).length, 2);
  }
});

test('a disk that no machine is to have stays for a day', async (t) => {
  const lab = await startLab(t);
  const { artifacts, directory } = lab;
  const clock = new FakeClock(new Date());
  const library = await openLibrary(t, { directory, artifacts, clock });
  const first = await artifacts.add(randomBytes(mib), { name: 'first' });
  const second = await artifacts.add(randomBytes(mib), { name: 'second' });
  library.setWanted([first, second], [], true);
  await whole(library, first);
  await whole(library, second);
  library.setWanted([second], [], true);
  const begun = clock.now().getTime();
  await until('the first is gone', async () => {
    await clock.advance(3_600_000);
    return (await library.find(first)) === undefined || undefined;
  });
  const hours = (clock.now().getTime() - begun) / 3_600_000;
  assert.ok(hours > 23, `${hours} h`);
  assert.ok(await library.find(second));
});

test('a disk that no machine is to have goes at once when there is no room', async (t) => {
  const lab = await startLab(t);
  const { artifacts, library, directory } = lab;
  const first = await artifacts.add(randomBytes(mib), { name: 'first' });
  const second = await artifacts.add(randomBytes(mib), { name: 'second' });
  library.setWanted([first], [], true);
  await whole(library, first);
  library.setWanted([second], [], true);
  await whole(library, second);
  assert.ok(await library.find(first));
  await library.close();
  // More than any disk has: everything that may go goes, and it is not enough.
  const full = await openLibrary(t, { ...lab, reserveBytes: 2 ** 60 });
  const third = await artifacts.add(randomBytes(mib), { name: 'third' });
  full.setWanted([second, third], [], true);
  assert.match(await failed(full, third), /ImageUnavailable .*does not fit.*free some space/);
  assert.equal(await full.find(first), undefined);
  assert.ok(await full.find(second));
  assert.deepEqual((await readdir(directory)).sort(), [
    `${second.digest.slice(7)}-raw.map`,
    `${second.digest.slice(7)}-raw.raw`,
  ]);
});

test('whoever reads a disk reads it to its end, also when it is given up meanwhile', async (t) => {
  const lab = await startLab(t);
  const { artifacts, library } = lab;
  const image = await artifacts.add(randomBytes(4 * mib), { name: 'debian' });
  library.setWanted([image], [], true);
  const disk = await whole(library, image);
  let length = 0;
  for await (const piece of disk.read(0)) {
    if (length === 0) for (const kind of ['raw', 'map']) await rm(fileOf(lab, image, kind));
    length += piece.length;
  }
  assert.equal(length, 4 * mib);
  await assert.rejects(readDisk(disk), /ENOENT/);
  await whole(library, image);
});

test('boot files come from the artifact of their architecture, verified, and from a folder before that', async (t) => {
  const folder = await temporaryFolder(t);
  const artifacts = new ImageFolder(join(folder, 'artifacts'));
  const bootFiles = join(folder, 'boot');
  const library = await openLibrary(t, { directory: join(folder, 'images'), artifacts, bootFiles });
  const system = await artifacts.addBootFiles('inspection', {
    vmlinuz: Buffer.from('kernel'),
    'initrd.img': Buffer.from('initrd'),
    'undionly.kpxe': Buffer.from('loader'),
    '../evil': Buffer.from('evil'),
  });
  const read = async (name: string, architecture: 'amd64' | 'arm64' = 'amd64') => {
    const path = await library.findBootFile(architecture, name);
    return path === undefined ? undefined : await readFile(path, 'utf8');
  };
  library.setWanted([], [system], true);
  await until('it is ready', () => library.states()[0]?.state === 'Ready' || undefined);
  assert.equal(await read('vmlinuz'), 'kernel');
  assert.equal(await read('undionly.kpxe'), 'loader');
  assert.equal(await read('vmlinuz', 'arm64'), undefined);
  assert.equal(await read('../evil'), undefined);
  assert.equal(await read('snponly.efi'), undefined);
  await mkdir(join(bootFiles, 'arm64'), { recursive: true });
  await writeFile(join(bootFiles, 'vmlinuz'), 'own');
  await writeFile(join(bootFiles, 'arm64', 'vmlinuz'), 'own arm');
  assert.equal(await read('vmlinuz'), 'own');
  assert.equal(await read('vmlinuz', 'arm64'), 'own arm');
  assert.equal(await read('initrd.img'), 'initrd');
  // Somebody changes it in the depot: it is no longer given out.
  const path = (await library.findBootFile('amd64', 'initrd.img')) ?? assert.fail();
  await chmod(path, 0o600);
  await writeFile(path, 'INITRD');
  await utimes(path, 1, 1);
  assert.equal(await read('initrd.img'), undefined);
  await until('that is said', () => library.states()[0]?.state === 'Failed' || undefined);
  assert.match(library.states()[0]?.message ?? '', /damaged in the depot/);
});

test('an artifact without a kernel is no inspection system', async (t) => {
  const { library, artifacts } = await startLab(t);
  const system = await artifacts.addBootFiles('inspection', { 'initrd.img': Buffer.from('initrd') });
  library.setWanted([], [system], true);
  await until('it has failed', () => library.states()[0]?.state === 'Failed' || undefined);
  assert.match(library.states()[0]?.message ?? '', /vmlinuz.*build-inspection/);
});

test('listeners hear of what changes and of nothing else, and what is let go stops', async (t) => {
  const { library, artifacts } = await startLab(t);
  const image = await artifacts.add(randomBytes(mib), { name: 'debian' });
  const heard: string[] = [];
  library.onChange(() =>
    heard.push(
      library
        .states()
        .map(({ state }) => state)
        .join(),
    ),
  );
  library.setWanted([image], [], true);
  await until('it is ready', () => library.states()[0]?.state === 'Ready' || undefined);
  const count = heard.length;
  library.setWanted([image], [], true);
  library.setWanted([{ ...image }], [], false);
  assert.equal(heard.length, count);
  library.setWanted([], [], true);
  assert.deepEqual(library.states(), []);
  assert.equal(heard.length, count + 1);
  await until('nothing is needed', () => artifacts.needed.length === 0 || undefined);
  await library.close();
  library.setWanted([image], [], true);
  assert.deepEqual(library.states(), []);
});

test('an agent without a depot says so, and has what it unpacked before', async (t) => {
  const lab = await startLab(t);
  const image = await lab.artifacts.add(randomBytes(mib), { name: 'debian' });
  const other = await lab.artifacts.add(randomBytes(mib), { name: 'other' });
  lab.library.setWanted([image], [], true);
  await whole(lab.library, image);
  await lab.library.close();
  const library = await openImageLibrary({
    directory: lab.directory,
    clock: systemClock,
    logger: createLogger({ level: 'fatal' }),
  });
  t.after(() => library.close());
  library.setWanted([image, other], [], true);
  await until('it is there', () => library.find(image));
  const fault = await until('it is said', () => library.fault(other));
  assert.match(fault.message, /--depot DIR/);
});
