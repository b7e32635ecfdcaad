import assert from 'node:assert/strict';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { it } from 'node:test';
import { readNeighbours } from './neighbours.ts';

it('reads who answers at an address, on the interfaces of the rack only', async (t) => {
  const directory = await mkdtemp(join(tmpdir(), 'selvedge-arp-'));
  t.after(() => rm(directory, { recursive: true, force: true }));
  const file = join(directory, 'arp');
  const rows = [
    'IP address       HW type     Flags       HW address            Mask     Device',
    '10.10.0.50       0x1         0x2         52:54:00:00:00:01     *        br0',
    '10.10.0.51       0x1         0x0         00:00:00:00:00:00     *        br0',
    '10.10.0.52       0x1         0x2         52:54:00:00:00:02     *        eth9',
    '10.10.0.53       0x1         0x6         52:54:00:00:00:03     *        br0',
  ];
  await writeFile(file, `${rows.join('\n')}\n`);
  const at = (address: string) => readNeighbours(address, ['br0'], file);
  assert.deepEqual(await at('10.10.0.50'), ['52:54:00:00:00:01']);
  assert.deepEqual(await at('10.10.0.51'), []);
  assert.deepEqual(await at('10.10.0.52'), []);
  assert.deepEqual(await at('10.10.0.53'), ['52:54:00:00:00:03']);
  assert.deepEqual(await at('10.10.0.5'), []);
  assert.deepEqual(await readNeighbours('10.10.0.50', ['br0'], join(directory, 'none')), []);
});
