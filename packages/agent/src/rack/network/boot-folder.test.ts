import assert from 'node:assert/strict';
import { mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, test } from 'node:test';
import { BootFolder } from './boot-folder.ts';

describe('the folder of the boot loaders', () => {
  let folder: string;
  let library: Map<string, string>;
  let boot: BootFolder;
  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), 'svg-loaders-'));
    library = new Map();
    boot = new BootFolder(join(folder, 'tftp'), {
      findBootFile: (architecture, name) => Promise.resolve(library.get(`${architecture}/${name}`)),
    });
  });
  afterEach(() => rm(folder, { recursive: true, force: true }));

  const put = async (file: string, content: string) => {
    const path = join(folder, `blob-${content}`);
    await writeFile(path, content, { mode: 0o600 });
    library.set(file, path);
  };
  const served = (file: string) => readFile(join(boot.path, file), 'utf8');

  test('has what the library has, readable for everybody, and names the rest', async () => {
    await put('amd64/undionly.kpxe', 'bios');
    assert.deepEqual(await boot.refresh(), ['amd64/snponly.efi', 'arm64/snponly.efi']);
    assert.equal(await served('amd64/undionly.kpxe'), 'bios');
    const { mode } = await stat(join(boot.path, 'amd64/undionly.kpxe'));
    assert.equal(mode & 0o777, 0o644);
  });

  test('takes a newer loader, and keeps the last one while the library has none', async () => {
    await put('amd64/snponly.efi', 'one');
    await boot.refresh();
    await put('amd64/snponly.efi', 'two');
    await boot.refresh();
    assert.equal(await served('amd64/snponly.efi'), 'two');
    library.clear();
    assert.ok(!(await boot.refresh()).includes('amd64/snponly.efi'));
    assert.equal(await served('amd64/snponly.efi'), 'two');
    assert.deepEqual(await readdir(join(boot.path, 'amd64')), ['snponly.efi'], 'nothing half-made is left');
  });
});
