import assert from 'node:assert/strict';
import {
  chmodSync,
  closeSync,
  existsSync,
  openSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { findStaticBusybox, requireTool } from '@selvedge/testkit';
import { startTrial } from '../testing/start-trial.ts';

const mebibyte = 1024 * 1024;
const size = 12 * mebibyte;
const disks = [
  { id: 'sda', bytes: size, serial: 'A' },
  { id: 'nvme0n1', bytes: size, serial: 'B' },
];
const devices = [
  { id: 'sda', size, serial: 'A' },
  { id: 'nvme0n1', size, serial: 'B' },
];

async function startWithFullDisks(t: Parameters<typeof startTrial>[0]) {
  const trial = await startTrial(t, disks);
  for (const { id, bytes } of disks) {
    const disk = openSync(trial.box.disk(id), 'r+');
    writeSync(disk, Buffer.alloc(bytes, 0xaa));
    closeSync(disk);
  }
  return trial;
}

test(
  'quick blanks both ends of the disk and of its partitions, and nothing else',
  requireTool('busybox'),
  async (t) => {
    const { rack, box } = await startWithFullDisks(t);
    // One partition from 5 MiB to 6 MiB.
    box.write('sys/block/sda/sda1/partition', '1\n');
    box.write('sys/block/sda/sda1/start', `${(5 * mebibyte) / 512}\n`);
    box.write('sys/block/sda/sda1/size', `${mebibyte / 512}\n`);
    const answer = await rack.give({ task: 'erase', mode: 'quick', devices });
    assert.equal(answer.status, 'ok', box.output);
    const disk = readFileSync(box.disk('sda'));
    const isZero = (from: number, to: number) => disk.subarray(from, to).every((byte) => byte === 0);
    assert.ok(isZero(0, 2 * mebibyte) && isZero(5 * mebibyte, 6 * mebibyte) && isZero(10 * mebibyte, size));
    assert.equal(disk[4 * mebibyte], 0xaa);
    // The inventory that comes with the answer shows them blank.
    const stored = rack.inventories.at(-1)?.resources.storage.disks;
    assert.deepEqual(
      stored?.map(({ id, signature }) => [id, signature]),
      [
        ['nvme0n1', undefined],
        ['sda', undefined],
      ],
    );
    const before = rack.inventories[0]?.resources.storage.disks;
    assert.deepEqual(
      before?.map(({ signature }) => signature),
      ['data', 'data'],
    );
  },
);

test(
  'secure overwrites every byte of a disk without an erase of its own, and says how',
  requireTool('busybox'),
  async (t) => {
    const { rack, box } = await startWithFullDisks(t);
    const answer = await rack.give({ task: 'erase', mode: 'secure', devices: devices.slice(0, 1) });
    assert.equal(answer.status, 'ok', box.output);
    assert.ok(readFileSync(box.disk('sda')).every((byte) => byte === 0));
    assert.ok(
      readFileSync(box.disk('nvme0n1')).every((byte) => byte === 0xaa),
      'the other disk was not named',
    );
    assert.equal(answer.values.get('sda'), 'zeros over every byte');
  },
);

test(
  'when one disk of an erase is not as the rack saw it, none is touched',
  requireTool('busybox'),
  async (t) => {
    const { rack, box } = await startWithFullDisks(t);
    const answer = await rack.give({
      task: 'erase',
      mode: 'quick',
      devices: [devices[0], { id: 'nvme0n1', size, serial: 'C' }].filter((device) => device !== undefined),
    });
    assert.equal(answer.fields.get('reason'), 'DiskNotFound');
    assert.ok(readFileSync(box.disk('sda')).every((byte) => byte === 0xaa));
  },
);

for (const mode of ['quick', 'secure'] as const) {
  test(
    `a disk that takes every write and gives nothing back is not called erased (${mode})`,
    requireTool('busybox'),
    async (t) => {
      const { rack, box } = await startWithFullDisks(t);
      rmSync(box.disk('sda'));
      symlinkSync('/dev/null', box.disk('sda'));
      const answer = await rack.give({ task: 'erase', mode, devices: devices.slice(0, 1) });
      assert.equal(answer.fields.get('reason'), 'EraseFailed', box.output);
      assert.match(answer.fields.get('message') ?? '', /cannot be read/);
      assert.equal(signatureOfSda(rack), 'unreadable');
    },
  );
}

/**
 * An ATA drive as hdparm shows it. `lock` holds its password while it is locked. A drive of the kind `erase-only` cannot be unlocked otherwise. Its own erase goes
 * on as long as there is `busy`.
 */
const hdparm = `#!${findStaticBusybox()} sh
folder=$(dirname "$0")
[ "$1" = -I ] && {
  printf 'Security:\n\tMaster password revision code = 65534\n\t\tsupported\n'
  if [ -e "$folder/lock" ]; then printf '\t\tenabled\n\t\tlocked\n'; else printf '\tnot\tenabled\n\tnot\tlocked\n'; fi
  printf '\tnot\tfrozen\n\t\tsupported: enhanced erase\n'
  exit 0
}
shift 2
echo "$1" >>"$folder/orders"
case $1 in
  --security-set-pass) [ -e "$folder/lock" ] && exit 5; echo "$2" >"$folder/password" ;;
  --security-unlock) [ "$(cat "$folder/lock")" = "$2" ] && [ ! -e "$folder/erase-only" ] || exit 5; mv "$folder/lock" "$folder/password" ;;
  --security-disable) [ -e "$folder/lock" ] && exit 5; rm -f "$folder/password" ;;
  --security-erase)
    while [ -e "$folder/busy" ]; do sleep 1; done
    [ "$(cat "$folder/lock" "$folder/password")" = "$2" ] || exit 5
    dd if=/dev/zero of="$3" bs=1M count=12 conv=notrunc
    rm -f "$folder/lock" "$folder/password"
    ;;
esac
`;

async function startWithLockedDrive(t: Parameters<typeof startTrial>[0], password: string) {
  const trial = await startWithFullDisks(t);
  const folder = join(trial.box.directory, 'bin');
  writeFileSync(join(folder, 'hdparm'), hdparm);
  chmodSync(join(folder, 'hdparm'), 0o755);
  writeFileSync(join(folder, 'lock'), `${password}\n`);
  const orders = () => readFileSync(join(folder, 'orders'), 'utf8').trim().split('\n');
  return { ...trial, folder, orders };
}

test(
  'a drive that lost power in its own erase is unlocked with the password of that erase',
  requireTool('busybox'),
  async (t) => {
    const { rack, box, orders } = await startWithLockedDrive(t, 'selvedge');
    const answer = await rack.give({ task: 'erase', mode: 'secure', devices: devices.slice(0, 1) });
    assert.equal(answer.status, 'ok', box.output);
    assert.equal(answer.values.get('sda'), 'own erase of the drive');
    assert.deepEqual(orders(), [
      '--security-unlock',
      '--security-disable',
      '--security-set-pass',
      '--security-erase',
    ]);
  },
);

test(
  'while a drive erases itself the rack hears of it, and cannot stop it',
  requireTool('busybox'),
  async (t) => {
    const { rack, box, folder } = await startWithLockedDrive(t, 'selvedge');
    writeFileSync(join(folder, 'busy'), '');
    const answer = rack.give({ task: 'erase', mode: 'secure', devices: devices.slice(0, 1) });
    const orders = join(folder, 'orders');
    while (!existsSync(orders) || !readFileSync(orders, 'utf8').includes('--security-erase'))
      await delay(50, undefined, { signal: t.signal });
    const told = rack.progress.length;
    rack.progressAnswer = 'abort';
    while (rack.progress.length < told + 3) await delay(50, undefined, { signal: t.signal });
    assert.ok(existsSync(join(folder, 'password')), 'the drive is still at it');
    rack.progressAnswer = 'continue';
    rmSync(join(folder, 'busy'));
    assert.equal((await answer).values.get('sda'), 'own erase of the drive', box.output);
  },
);

test('a locked drive that only goes on with its erase is let go on', requireTool('busybox'), async (t) => {
  const { rack, box, folder } = await startWithLockedDrive(t, 'selvedge');
  writeFileSync(join(folder, 'erase-only'), '');
  const answer = await rack.give({ task: 'erase', mode: 'quick', devices: devices.slice(0, 1) });
  assert.equal(answer.status, 'ok', box.output);
  assert.ok(readFileSync(box.disk('sda')).every((byte) => byte === 0));
});

test(
  'a drive that somebody else has locked is named, with what to do about it',
  requireTool('busybox'),
  async (t) => {
    const { rack, box } = await startWithLockedDrive(t, 'of-a-stranger');
    const answer = await rack.give({ task: 'erase', mode: 'secure', devices: devices.slice(0, 1) });
    assert.equal(answer.fields.get('reason'), 'EraseFailed', box.output);
    assert.match(answer.fields.get('message') ?? '', /sda: it is locked.*--security-unlock/);
    assert.ok(readFileSync(box.disk('sda')).every((byte) => byte === 0xaa));
  },
);

function signatureOfSda(rack: Awaited<ReturnType<typeof startTrial>>['rack']): string | undefined {
  return rack.inventories.at(-1)?.resources.storage.disks.find(({ id }) => id === 'sda')?.signature;
}
