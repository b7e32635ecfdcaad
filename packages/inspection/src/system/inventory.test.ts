import assert from 'node:assert/strict';
import { closeSync, mkdirSync, openSync, rmSync, symlinkSync, truncateSync, writeSync } from 'node:fs';
import { test, type TestContext } from 'node:test';
import { type MachineInventory, selectRootDevice } from '@selvedge/api';
import { requireTool } from '@selvedge/testkit';
import { madeUpServer } from '../testing/made-up-server.ts';
import { TrialBox } from '../testing/trial-box.ts';

const needs = requireTool('busybox');

async function inventoryOf(t: TestContext, box: TrialBox): Promise<MachineInventory> {
  t.after(() => box.close());
  return JSON.parse(await box.run('inventory')) as MachineInventory;
}

test('an NVIDIA card is found by its PCI class, with its names and where it is', needs, async (t) => {
  const { resources } = await inventoryOf(t, madeUpServer());
  assert.deepEqual(resources.gpu, {
    cards: [
      {
        driver: 'nvidia',
        numa_node: 1,
        pci_address: '0000:3b:00.0',
        vendor: 'NVIDIA Corporation',
        vendor_id: '10de',
        product: 'GV100GL [Tesla V100 PCIe 32GB]',
        product_id: '1db6',
        nvidia: { model: 'Tesla V100-PCIE-32GB', uuid: 'GPU-1fc6a4d1' },
      },
    ],
    total: 1,
  });
  assert.equal(resources.pci.total, 3);
  assert.deepEqual(
    resources.pci.devices.find(({ vendor_id }) => vendor_id === '1000'),
    { pci_address: '0000:5e:00.0', vendor_id: '1000', product_id: '005d', class: '010400' },
    'what has no driver, no name and no place says nothing of them',
  );
});

test('disks have serial, wwn, place and size, also when two share a serial number', needs, async (t) => {
  const box = madeUpServer();
  const signed = openSync(box.disk('sdb'), 'r+');
  writeSync(signed, 'XFSB');
  closeSync(signed);
  const { disks } = (await inventoryOf(t, box)).resources.storage;
  assert.deepEqual(
    disks.map(({ id }) => id),
    ['nvme0n1', 'sda', 'sdb'],
  );
  const [nvme, sda, sdb] = disks;
  assert.equal(nvme?.size, 15_002_931_888 * 512);
  assert.equal(nvme?.serial, 'S4BGNA0M802972');
  assert.equal(nvme?.wwn, 'eui.36344630528029720025384500000001');
  assert.equal(nvme?.device_id, 'nvme-SAMSUNG_MZQLB7T6HMLA-00007_S4BGNA0M802972');
  assert.deepEqual(nvme?.partitions, [
    { id: 'nvme0n1p1', device: '259:1', read_only: false, size: 1048576, partition: 1 },
  ]);
  assert.deepEqual([sda?.serial, sdb?.serial], ['ZC1ABCDE', 'ZC1ABCDE']);
  assert.deepEqual([sda?.wwn, sdb?.wwn], ['0x5000c500a1b2c3d0', '0x5000c500a1b2c3d1']);
  assert.deepEqual([sda?.hctl, sdb?.hctl], ['0:0:0:0', '0:0:1:0']);
  assert.equal(sda?.type, 'sata');
  assert.deepEqual([nvme?.rpm, sda?.rpm], [0, 1]);
  assert.deepEqual([sda?.signature, sdb?.signature], [undefined, 'xfs']);
  // The rack tells them apart by it.
  const chosen = selectRootDevice(disks, { wwn: '0x5000C500A1B2C3D1' }, 1024);
  assert.equal('disk' in chosen && chosen.disk.id, 'sdb');
});

test('ports are put together to cards, and a port without a cable has no speed', needs, async (t) => {
  const { resources, networks } = await inventoryOf(t, madeUpServer());
  assert.equal(resources.network.total, 1);
  const [card] = resources.network.cards;
  assert.deepEqual(card?.ports, [
    {
      id: 'eno1',
      address: '3c:fd:fe:00:00:00',
      port: 0,
      protocol: 'ethernet',
      link_detected: true,
      link_speed: 10000,
      link_duplex: 'full',
    },
    { id: 'eno2', address: '3c:fd:fe:00:00:01', port: 1, protocol: 'ethernet', link_detected: false },
  ]);
  assert.equal(networks['eno2']?.state, 'down');
});

test(
  'what is plugged into USB is no device of the controller; a card tells its driver and virtual functions',
  needs,
  async (t) => {
    const box = madeUpServer();
    const controller = 'devices/pci0000:00/0000:00:14.0';
    const stick = `${controller}/usb1/1-2/1-2.1`;
    box.write(`sys/${controller}/vendor`, '0x8086\n');
    box.link('sys/bus/pci/devices/0000:00:14.0', `../../../${controller}`);
    box.link('sys/bus/usb/devices/1-2.1', `../../../${stick}`);
    box.write(`sys/${stick}/busnum`, '1\n');
    box.write(`sys/${stick}/devnum`, '7\n');
    box.write(`sys/${stick}/1-2.1:1.0/net/usb0/type`, '1\n');
    box.link(`sys/${stick}/1-2.1:1.0/net/usb0/device`, '../../../1-2.1:1.0');
    box.link('sys/class/net/usb0', `../../${stick}/1-2.1:1.0/net/usb0`);
    const nic = 'sys/devices/pci0000:00/0000:18:00.0';
    box.write(`${nic}/sriov_totalvfs`, '64\n');
    box.write(`${nic}/sriov_numvfs`, '4\n');
    box.write('sys/bus/pci/drivers/i40e/module/version', '2.8.20-k\n');
    const { cards } = (await inventoryOf(t, box)).resources.network;
    const [first, second] = cards;
    assert.deepEqual(
      [first?.ports.length, first?.driver_version, first?.sriov],
      [2, '2.8.20-k', { current_vfs: 4, maximum_vfs: 64 }],
    );
    assert.deepEqual(
      [second?.ports.map(({ id }) => id), second?.usb_address, second?.vendor_id],
      [['usb0'], '1:7', undefined],
    );
  },
);

test('a SATA disk is at the place where udev says that it is', needs, async (t) => {
  const box = new TrialBox();
  const place = 'devices/pci0000:00/0000:00:17.0/ata5/host4/target4:0:0/4:0:0:0';
  box.write(`sys/${place}/block/sda/size`, '8192\n');
  box.link(`sys/${place}/block/sda/device`, '../../../4:0:0:0');
  box.link('sys/block/sda', `../${place}/block/sda`);
  box.write('sys/class/ata_port/ata5/port_no', '3\n');
  box.addDiskFile('sda', 4 * 1024 * 1024);
  const { disks } = (await inventoryOf(t, box)).resources.storage;
  assert.equal(disks[0]?.device_path, 'pci-0000:00:17.0-ata-3');
  const link = '/dev/disk/by-path/pci-0000:00:17.0-ata-3';
  assert.ok('disk' in selectRootDevice(disks, { deviceName: link }, 1024));
});

test('processors, memory and the box itself are as its kernel shows them', needs, async (t) => {
  const { resources } = await inventoryOf(t, madeUpServer());
  assert.equal(resources.cpu.total, 4);
  assert.deepEqual(
    resources.cpu.sockets.map(({ cores }) => cores.map(({ threads }) => threads.length)),
    [
      // The thread that is off does not say where it is.
      [2, 1],
      [1],
    ],
  );
  assert.equal(resources.cpu.sockets[0]?.name, 'Intel(R) "Xeon" 6248');
  const [socket] = resources.cpu.sockets;
  assert.deepEqual(
    [socket?.frequency, socket?.frequency_minimum, socket?.frequency_turbo],
    [3900, 1000, 3900],
  );
  assert.deepEqual(socket?.cache, [
    { level: 1, type: 'Data', size: 32 * 1024 },
    { level: 3, type: 'Unified', size: 28_160 * 1024 },
  ]);
  assert.deepEqual(
    resources.cpu.sockets.map(({ cores: [core] }) => [core?.die, core?.threads[0]?.numa_node]),
    [
      [0, 0],
      [0, 1],
    ],
  );
  assert.equal(resources.memory.total, 128 * 0x8000000);
  assert.deepEqual(resources.system, {
    uuid: '4c4c4544-0042-3510-8052-b4c04f4d3232',
    vendor: 'Dell Inc.',
    product: 'PowerEdge R740',
    serial: 'B5R2M22',
    type: 'physical',
    efi: true,
    firmware: { version: '2.12.2' },
    chassis: { type: '23' },
  });
  assert.deepEqual(resources.usb.devices, [
    { bus_address: 1, device_address: 3, product_id: '2660', vendor_id: '0424', speed: 480 },
  ]);
});

test('a box of which nothing can be read still gives an inventory, without a null', needs, async (t) => {
  const inventory = await inventoryOf(t, new TrialBox());
  assert.doesNotMatch(JSON.stringify(inventory), /null/);
  assert.deepEqual(inventory.resources.storage, { disks: [], total: 0 });
  assert.deepEqual(inventory.resources.cpu.sockets, []);
  assert.equal(inventory.resources.memory.total, 0);
});

test(
  'text that firmware fills with quotes, backslashes, control and other characters stays JSON',
  needs,
  async (t) => {
    const box = new TrialBox({
      'sys/class/dmi/id/product_name': 'a "b" \\ c\td\u0001 é & \\u0041\n',
      'sys/class/dmi/id/sys_vendor': Buffer.from([0x41, 0x1f, 0x42, 0x0a]),
    });
    const { system } = (await inventoryOf(t, box)).resources;
    assert.equal(system.product, 'a "b" \\ c d  é & \\u0041');
    assert.equal(system.vendor, 'A B');
  },
);

const signatures: readonly (readonly [string, number, string | Buffer])[] = [
  ['gpt', 512, 'EFI PART'],
  ['luks', 0, Buffer.from('4c554b53babe', 'hex')],
  ['ext', 1080, Buffer.from('53ef', 'hex')],
  ['dos', 510, Buffer.from('55aa', 'hex')],
  ['data', 700_000, 'x'],
  ['gpt', 4 * 1024 * 1024 - 512, 'EFI PART'],
  ['data', 4 * 1024 * 1024 - 700_000, 'x'],
];
for (const [name, offset, bytes] of signatures) {
  test(`a disk with something at ${offset} shows ${name}`, needs, async (t) => {
    const box = new TrialBox();
    const disk = openSync(box.addDisk({ id: 'vda', bytes: 4 * 1024 * 1024 }), 'r+');
    writeSync(disk, Buffer.from(bytes), 0, bytes.length, offset);
    closeSync(disk);
    const { disks } = (await inventoryOf(t, box)).resources.storage;
    assert.deepEqual(
      disks.map(({ signature }) => signature),
      [name],
    );
  });
}

const unreadable: readonly (readonly [string, (path: string) => void])[] = [
  ['fails every read', (path) => mkdirSync(path)],
  ['gives nothing', (path) => symlinkSync('/dev/null', path)],
  ['has no device file', () => undefined],
  [
    'ends before its end',
    (path) => {
      closeSync(openSync(path, 'w'));
      truncateSync(path, 3 * 1024 * 1024 + 512);
    },
  ],
];
for (const [how, replace] of unreadable) {
  test(`a disk that ${how} shows unreadable, never blank`, needs, async (t) => {
    const box = new TrialBox();
    const path = box.addDisk({ id: 'vda', bytes: 4 * 1024 * 1024 });
    rmSync(path);
    replace(path);
    const { disks } = (await inventoryOf(t, box)).resources.storage;
    assert.deepEqual(
      disks.map(({ signature }) => signature),
      ['unreadable'],
    );
  });
}

test('of an NVMe disk with several paths the disk is listed, not its paths', needs, async (t) => {
  const box = new TrialBox();
  for (const id of ['nvme0n1', 'nvme0c0n1']) box.addDisk({ id, bytes: 4 * 1024 * 1024 });
  box.write('sys/block/nvme0n1/hidden', '0\n');
  box.write('sys/block/nvme0c0n1/hidden', '1\n');
  rmSync(box.disk('nvme0c0n1'));
  const { disks } = (await inventoryOf(t, box)).resources.storage;
  assert.deepEqual(
    disks.map(({ id }) => id),
    ['nvme0n1'],
  );
});

test('volumes of a storage network are no disks of the box', needs, async (t) => {
  const box = new TrialBox();
  const adapter = 'devices/pci0000:00/0000:00:05.0/host1';
  for (const [id, place] of [
    ['sda', `${adapter}/port-1:0/end_device-1:0/target1:0:0/1:0:0:0`],
    ['sdb', `${adapter}/rport-1:0-2/target1:0:0/1:0:0:0`],
    ['sdc', 'devices/platform/host2/session1/target2:0:0/2:0:0:0'],
  ]) {
    box.write(`sys/${place}/block/${id}/size`, '8192\n');
    box.link(`sys/block/${id}`, `../${place}/block/${id}`);
    box.addDiskFile(String(id), 4 * 1024 * 1024);
  }
  const { disks } = (await inventoryOf(t, box)).resources.storage;
  assert.deepEqual(
    disks.map(({ id, signature }) => [id, signature]),
    [['sda', undefined]],
  );
});
