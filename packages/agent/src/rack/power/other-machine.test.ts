import assert from 'node:assert/strict';
import { test } from 'node:test';
import { contradictionOf } from './other-machine.ts';

const uuid = '00112233-4455-6677-8899-aabbccddeeff';
const other = 'ffeeddcc-bbaa-9988-7766-554433221100';

test('another UUID is another machine, unless a serial number says otherwise', () => {
  const machine = { uuid, serials: ['A1'] };
  assert.match(
    contradictionOf(machine, { uuid: other, serial: 'B2', quirks: [] }) ?? '',
    /ffeeddcc.*B2.*00112233/,
  );
  assert.match(contradictionOf(machine, { uuid: other, quirks: [] }) ?? '', /ffeeddcc/);
  assert.equal(contradictionOf(machine, { uuid: other, serial: 'A1', quirks: [] }), undefined);
  assert.equal(contradictionOf(machine, { uuid, serial: 'B2', quirks: [] }), undefined);
});

test('the same UUID in the other order of bytes, or in capitals, is the same', () => {
  assert.equal(contradictionOf({ uuid }, { uuid: uuid.toUpperCase(), quirks: [] }), undefined);
  assert.equal(
    contradictionOf({ uuid }, { uuid: '33221100-5544-7766-8899-aabbccddeeff', quirks: [] }),
    undefined,
  );
});

test('what nobody set contradicts nothing', () => {
  assert.equal(
    contradictionOf({ uuid }, { uuid: '00000000-0000-0000-0000-000000000000', quirks: [] }),
    undefined,
  );
  assert.equal(contradictionOf({ uuid }, { uuid: 'n/a', quirks: [] }), undefined);
  assert.equal(contradictionOf({ uuid }, { quirks: [] }), undefined);
  assert.equal(
    contradictionOf({ macAddresses: ['52:54:00:00:00:01'] }, { uuid: other, quirks: [] }),
    undefined,
  );
  const junk = { uuid, serials: ['To Be Filled By O.E.M.'] };
  assert.match(
    contradictionOf(junk, { uuid: other, serial: 'To Be Filled By O.E.M.', quirks: [] }) ?? '',
    /ffeeddcc/,
  );
});
