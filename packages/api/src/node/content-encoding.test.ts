import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { test } from 'node:test';
import { zstdDecompressSync } from 'node:zlib';
import fc from 'fast-check';
import {
  availableDictionary,
  type ContentDictionary,
  decodeContent,
  encodeContent,
  parseAvailableDictionary,
} from './content-encoding.ts';
import { sha256Digest } from './digest.ts';

const maxBytes = 64 * 1024 * 1024;

function dictionaryOf(text: string | Uint8Array): ContentDictionary {
  const bytes = Buffer.from(text);
  return { digest: sha256Digest(bytes), bytes };
}

/** Text that does not compress by itself. */
function randomManifests(bytes: number): string {
  return randomBytes(Math.ceil((bytes * 3) / 4)).toString('base64');
}

test('one changed tag in megabytes of manifests is some hundred bytes', async () => {
  for (const megabytes of [1, 5]) {
    const text = randomManifests(megabytes * 1_000_000);
    const middle = text.length / 2;
    const before = dictionaryOf(`${text.slice(0, middle)} image: till:1.0 ${text.slice(middle)}`);
    const after = Buffer.from(Buffer.from(before.bytes).toString().replace('till:1.0', 'till:1.1'));
    const encoded = await encodeContent(after, before);
    assert.ok(encoded.length < 1000, `${megabytes} MB: ${encoded.length} bytes`);
    const decoded = await decodeContent(encoded, { encoding: 'dcz', dictionary: before, maxBytes });
    assert.ok(decoded.equals(after));
  }
});

test('what is encoded comes out again, with every dictionary and without', async () => {
  await fc.assert(
    fc.asyncProperty(fc.uint8Array({ maxLength: 5000 }), fc.uint8Array({ maxLength: 5000 }), async (a, b) => {
      const dictionary = dictionaryOf(a);
      const delta = await encodeContent(b, dictionary);
      assert.deepEqual(await decodeContent(delta, { encoding: 'dcz', dictionary, maxBytes }), Buffer.from(b));
      const plain = await encodeContent(b);
      assert.deepEqual(await decodeContent(plain, { encoding: 'zstd', maxBytes }), Buffer.from(b));
    }),
    { numRuns: 50 },
  );
});

test('a difference to other content is refused before it is undone', async () => {
  const [one, other] = [dictionaryOf('one'), dictionaryOf('other')];
  const encoded = await encodeContent(Buffer.from('one and more'), one);
  const decode = (dictionary?: ContentDictionary) =>
    decodeContent(encoded, { encoding: 'dcz', dictionary, maxBytes });
  await assert.rejects(decode(other), /to other content than the one that was named/);
  await assert.rejects(decode(), /to content that was not named/);
});

test('neither an answer that unpacks to more than is allowed nor one that asks for much memory is undone', async () => {
  const bomb = await encodeContent(Buffer.alloc(2_000_000));
  assert.ok(bomb.length < 1000);
  await assert.rejects(decodeContent(bomb, { encoding: 'zstd', maxBytes: 1_000_000 }), {
    code: 'ERR_BUFFER_TOO_LARGE',
  });
  // RFC 8878: magic, no flags, a window of 128 MiB, one last raw block of two bytes.
  const wide = Buffer.from('28b52ffd' + '00' + '88' + '110000' + '6869', 'hex');
  assert.equal(zstdDecompressSync(wide).toString(), 'hi');
  await assert.rejects(decodeContent(wide, { encoding: 'zstd', maxBytes: 1_000_000 }), /memory/i);
});

test('damaged bytes are an error, never other content', async () => {
  const encoded = await encodeContent(Buffer.from('some content'.repeat(100)));
  await assert.rejects(decodeContent(encoded.subarray(0, 20), { encoding: 'zstd', maxBytes }));
  await assert.rejects(decodeContent(Buffer.from('nonsense'), { encoding: 'zstd', maxBytes }));
  await assert.rejects(decodeContent(Buffer.alloc(0), { encoding: 'zstd', maxBytes }));
});

test('Available-Dictionary carries a digest there and back, and nothing else', () => {
  const digest = sha256Digest(Buffer.from('content'));
  assert.equal(parseAvailableDictionary(availableDictionary(digest)), digest);
  for (const header of [
    undefined,
    '',
    digest,
    ':AAAA:',
    `:${'A'.repeat(44)}:`,
    `${availableDictionary(digest)}, :AA:`,
  ]) {
    assert.equal(parseAvailableDictionary(header), undefined, String(header));
  }
});
