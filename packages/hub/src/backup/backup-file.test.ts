import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { describe, test } from 'node:test';
import { openBackupFile, sealBackupFile } from './backup-file.ts';
import { BackupError } from './backup-stream.ts';

const cheap = { N: 16, r: 8, p: 1 };

async function* inPieces(bytes: Uint8Array, size: number): AsyncGenerator<Uint8Array> {
  for (let at = 0; at < bytes.length; at += size) yield bytes.subarray(at, at + size);
}

async function collect(pieces: AsyncIterable<Uint8Array>): Promise<Buffer> {
  const all: Uint8Array[] = [];
  for await (const piece of pieces) all.push(piece);
  return Buffer.concat(all);
}

const seal = (content: Uint8Array, passphrase?: string) =>
  collect(sealBackupFile(inPieces(content, 7000), passphrase, cheap));
const open = (file: Uint8Array, passphrase?: string) =>
  collect(openBackupFile(inPieces(file, 5000), passphrase));

describe('a backup file', () => {
  test('gives back what was put in, of any length, sealed or not', async () => {
    for (const length of [0, 1, 65_535, 65_536, 65_537, 200_000]) {
      const content = randomBytes(length);
      assert.ok(content.equals(await open(await seal(content, 'secret'), 'secret')), `${length} sealed`);
      assert.ok(content.equals(await open(await seal(content))), `${length} in clear`);
    }
  });

  test('shows nothing of its content, and is another each time', async () => {
    const content = Buffer.from('correct horse battery staple '.repeat(100));
    const [one, two] = [await seal(content, 'secret'), await seal(content, 'secret')];
    assert.ok(!one.includes('battery'));
    assert.ok(!one.subarray(300).equals(two.subarray(300)));
    assert.ok((await seal(content)).includes('battery'), 'the search itself works');
  });

  test('opens with its passphrase only, and says what is missing', async () => {
    const sealed = await seal(Buffer.from('content'), 'secret');
    await assert.rejects(open(sealed, 'other'), /the passphrase is another/);
    await assert.rejects(open(sealed), /sealed with a passphrase: give it/);
    await assert.rejects(open(await seal(Buffer.from('content')), 'secret'), /without a passphrase/);
  });

  test('a passphrase is the same however its letters were composed', async () => {
    const sealed = await seal(Buffer.from('content'), 'K\u00fche');
    assert.equal(String(await open(sealed, 'Ku\u0308he')), 'content');
  });

  test('any cut, any changed byte and anything behind the end is noticed', async () => {
    const content = randomBytes(70_000);
    const sealed = await seal(content, 'secret');
    const firstChunk = sealed.indexOf(10) + 1;
    const places = [
      0,
      5,
      20,
      40,
      60,
      firstChunk,
      firstChunk + 3,
      firstChunk + 4,
      40_000,
      65_600,
      sealed.length - 1,
    ];
    for (const place of places) {
      const changed = Buffer.from(sealed);
      changed[place] = (changed[place] ?? 0) ^ 1;
      await assert.rejects(open(changed, 'secret'), BackupError, `byte ${place} changed`);
      await assert.rejects(open(sealed.subarray(0, place), 'secret'), BackupError, `cut at ${place}`);
    }
    await assert.rejects(open(Buffer.concat([sealed, Buffer.from('x')]), 'secret'), /goes on behind its end/);
  });

  test('chunks cannot be left out, doubled or put in another order', async () => {
    const sealed = await seal(randomBytes(65_536 * 2 + 10), 'secret');
    const start = sealed.indexOf(10) + 1;
    const size = 4 + 65_536 + 16;
    const [header, a, b, last] = [
      sealed.subarray(0, start),
      sealed.subarray(start, start + size),
      sealed.subarray(start + size, start + 2 * size),
      sealed.subarray(start + 2 * size),
    ];
    await open(Buffer.concat([header, a, b, last]), 'secret');
    for (const chunks of [[b, a, last], [a, last], [a, a, b, last], [a, b], [last]]) {
      await assert.rejects(open(Buffer.concat([header, ...chunks]), 'secret'), BackupError);
    }
  });

  test('a foreign file, a newer one and one that asks for all memory are refused by name', async () => {
    await assert.rejects(open(Buffer.from('PK\u0003\u0004 not ours')), /no backup file of a hub/);
    await assert.rejects(open(Buffer.alloc(0)), /no backup file of a hub/);
    await assert.rejects(open(Buffer.from('selvedge-backup 2 {}\n')), /made by a newer version/);
    const greedy = { cipher: 'aes-256-gcm', scrypt: { N: 2 ** 24, r: 8, p: 1, salt: 'AAAA' }, keyCheck: '' };
    await assert.rejects(
      open(Buffer.from(`selvedge-backup 1 ${JSON.stringify(greedy)}\n`), 'x'),
      /more memory/,
    );
  });
});
