import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { StorageDisk } from './machine-inventory.ts';
import { selectRootDevice } from './root-device.ts';
import type { RootDeviceHints } from './rack-order.ts';

const disk = (id: string, size: number, rest: Partial<StorageDisk> = {}): StorageDisk => ({
  id,
  device: '8:0',
  read_only: false,
  removable: false,
  size,
  rpm: 0,
  partitions: [],
  ...rest,
});

test('the smallest disk that is large enough, then the first by name', () => {
  const disks = [disk('sdc', 200), disk('sdb', 100), disk('sda', 100), disk('sdd', 50)];
  const chosen = selectRootDevice(disks, {}, 60);
  assert.equal('disk' in chosen && chosen.disk.id, 'sda');
  assert.deepEqual(Object.keys(selectRootDevice(disks, {}, 300)), ['reason', 'message']);
});

test('a USB disk is taken only when a hint names it', () => {
  const usb = disk('sdb', 10, { type: 'usb', serial: 'STICK' });
  const chosen = selectRootDevice([disk('sda', 100), usb], { rotational: false }, 5);
  assert.equal('disk' in chosen && chosen.disk.id, 'sda');
  const none = selectRootDevice([usb], {}, 5);
  assert.match('message' in none ? none.message : '', /rootDevice names it/);
  const named = selectRootDevice([disk('sda', 100), usb], { serialNumber: 'STICK' }, 5);
  assert.equal('disk' in named && named.disk.id, 'sdb');
});

const full = disk('sda', 500e9, {
  serial: 'ZC1ABCDE',
  wwn: '0x5000c500a1b2c3d0',
  model: 'ST4000NM0035',
  vendor: 'ATA',
  hctl: '0:0:1:0',
  device_path: 'pci-0000:00:17.0-ata-2',
  device_id: 'ata-ST4000NM0035_ZC1ABCDE',
  rpm: 7200,
});
const nvme = disk('nvme0n1', 400e9, { wwn: 'eui.3634463052802972', type: 'nvme' });

const hints: readonly (readonly [RootDeviceHints, string | undefined])[] = [
  [{ deviceName: '/dev/sda' }, 'sda'],
  [{ deviceName: '/dev/disk/by-path/pci-0000:00:17.0-ata-2' }, 'sda'],
  [{ deviceName: '/dev/disk/by-id/ata-ST4000NM0035_ZC1ABCDE' }, 'sda'],
  [{ deviceName: '/dev/disk/by-id/wwn-0x5000c500a1b2c3d0' }, 'sda'],
  [{ deviceName: '/dev/disk/by-id/nvme-eui.3634463052802972' }, 'nvme0n1'],
  [{ deviceName: '/dev/sd' }, undefined],
  [{ serialNumber: 'ZC1ABCDE' }, 'sda'],
  [{ serialNumber: 'zc1' }, undefined],
  [{ wwn: '0x5000C500A1B2C3D0' }, 'sda'],
  [{ model: 'nm0035' }, 'sda'],
  [{ vendor: 'ata' }, 'sda'],
  [{ hctl: '0:0:1:0' }, 'sda'],
  [{ hctl: '0:0:1' }, undefined],
  [{ minSizeGigabytes: 500 }, 'sda'],
  [{ minSizeGigabytes: 501 }, undefined],
  [{ rotational: true }, 'sda'],
  [{ rotational: false }, 'nvme0n1'],
  [{ rotational: false, vendor: 'ATA' }, undefined],
];
for (const [hint, expected] of hints) {
  test(`${JSON.stringify(hint)} is ${expected ?? 'no disk'}`, () => {
    const chosen = selectRootDevice([full, nvme], hint, 1);
    assert.equal('disk' in chosen ? chosen.disk.id : undefined, expected);
  });
}
