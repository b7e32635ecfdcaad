import { TrialBox } from './trial-box.ts';

const pci = {
  gpu: { address: '0000:3b:00.0', vendor: '0x10de', device: '0x1db6', class: '0x030200', driver: 'nvidia' },
  nic: { address: '0000:18:00.0', vendor: '0x8086', device: '0x1572', class: '0x020000', driver: 'i40e' },
  raid: { address: '0000:5e:00.0', vendor: '0x1000', device: '0x005d', class: '0x010400', driver: undefined },
} as const;

const caches = [
  ['1', 'Data', '32K'],
  ['3', 'Unified', '28160K'],
] as const;

/** A two-socket server with an NVIDIA card, a two-port NIC, an NVMe and two SATA disks, as its kernel shows it. */
export function madeUpServer(): TrialBox {
  const box = new TrialBox();
  addProcessors(box);
  for (const { address, vendor, device, class: kind, driver } of Object.values(pci)) {
    const path = `sys/devices/pci0000:00/${address}`;
    box.link(`sys/bus/pci/devices/${address}`, `../../../devices/pci0000:00/${address}`);
    box.write(`${path}/vendor`, `${vendor}\n`);
    box.write(`${path}/device`, `${device}\n`);
    box.write(`${path}/class`, `${kind}\n`);
    // -1: this firmware does not say.
    box.write(`${path}/numa_node`, address === pci.gpu.address ? '1\n' : '-1\n');
    if (driver !== undefined) box.link(`${path}/driver`, `../../../bus/pci/drivers/${driver}`);
  }
  box.write(
    `proc/driver/nvidia/gpus/${pci.gpu.address}/information`,
    'Model: \t\t Tesla V100-PCIE-32GB\nIRQ:   \t\t 36\nGPU UUID: \t GPU-1fc6a4d1\n',
  );
  box.write(
    'usr/share/misc/pci-names',
    '10de NVIDIA Corporation\n10de1db5 Another of theirs\n10de1db6 GV100GL [Tesla V100 PCIe 32GB]\n8086 Intel\n',
  );
  for (const [index, name] of ['eno1', 'eno2'].entries()) addPort(box, name, index);
  addDisks(box);
  addSystem(box);
  return box;
}

function addProcessors(box: TrialBox): void {
  const cpuinfo = [0, 1, 2, 3].map((id) =>
    [
      `processor\t: ${id}`,
      'vendor_id\t: GenuineIntel',
      'model name\t: Intel(R) "Xeon" 6248',
      'flags\t\t: fpu vme',
      '',
    ].join('\n'),
  );
  box.write('proc/cpuinfo', cpuinfo.join('\n'));
  box.write('proc/meminfo', 'MemTotal:       16318840 kB\nMemFree: 1 kB\n');
  for (const id of [0, 1, 2, 3]) {
    const path = `sys/devices/system/cpu/cpu${id}`;
    // Two sockets with two threads of one core each; the last thread is switched off and says nothing of its place.
    if (id < 3) {
      box.write(`${path}/topology/physical_package_id`, `${id >> 1}\n`);
      box.write(`${path}/topology/core_id`, '0\n');
      box.write(`${path}/topology/die_id`, '0\n');
      box.write(`${path}/node${id >> 1}/cpulist`, `${id}\n`);
    }
    box.write(`${path}/online`, id < 3 ? '1\n' : '0\n');
    box.write(`${path}/cpufreq/cpuinfo_max_freq`, '3900000\n');
    box.write(`${path}/cpufreq/cpuinfo_min_freq`, '1000000\n');
    for (const [index, [level, type, size]] of caches.entries()) {
      box.write(`${path}/cache/index${index}/level`, `${level}\n`);
      box.write(`${path}/cache/index${index}/type`, `${type}\n`);
      box.write(`${path}/cache/index${index}/size`, `${size}\n`);
    }
  }
  box.write('sys/devices/system/memory/block_size_bytes', '8000000\n');
  for (let block = 0; block < 128; block += 1)
    box.write(`sys/devices/system/memory/memory${block}/state`, 'online\n');
}

function addPort(box: TrialBox, name: string, index: number): void {
  const device = `sys/devices/pci0000:00/${pci.nic.address}`;
  const path = `${device}/net/${name}`;
  box.link(`sys/class/net/${name}`, `../../devices/pci0000:00/${pci.nic.address}/net/${name}`);
  box.write(`${path}/address`, `3C:FD:FE:00:00:0${index}\n`);
  box.write(`${path}/type`, '1\n');
  box.write(`${path}/dev_port`, `${index}\n`);
  box.write(`${path}/mtu`, '1500\n');
  box.link(`${path}/device`, `../../../${pci.nic.address}`);
  // The second port has no cable.
  box.write(`${path}/carrier`, index === 0 ? '1\n' : '0\n');
  box.write(`${path}/speed`, index === 0 ? '10000\n' : '-1\n');
  box.write(`${path}/duplex`, index === 0 ? 'full\n' : 'unknown\n');
  box.write(`${path}/operstate`, index === 0 ? 'up\n' : 'down\n');
}

function addDisks(box: TrialBox): void {
  const nvme = 'sys/devices/pci0000:00/0000:5f:00.0/nvme/nvme0/nvme0n1';
  box.link('sys/block/nvme0n1', '../devices/pci0000:00/0000:5f:00.0/nvme/nvme0/nvme0n1');
  // 7.68 TB: more than 31 bits of sectors.
  box.write(`${nvme}/size`, '15002931888\n');
  box.write(`${nvme}/dev`, '259:0\n');
  box.write(`${nvme}/wwid`, 'eui.36344630528029720025384500000001\n');
  box.write(`${nvme}/queue/rotational`, '0\n');
  box.write(`${nvme}/device/model`, 'SAMSUNG MZQLB7T6HMLA-00007              \n');
  box.write(`${nvme}/device/serial`, 'S4BGNA0M802972      \n');
  box.write(`${nvme}/device/firmware_rev`, 'EDA5402Q\n');
  box.write(`${nvme}/nvme0n1p1/partition`, '1\n');
  box.write(`${nvme}/nvme0n1p1/size`, '2048\n');
  box.write(`${nvme}/nvme0n1p1/dev`, '259:1\n');
  // Two disks that a careless maker gave one serial number.
  for (const [index, id] of ['sda', 'sdb'].entries()) {
    const device = `sys/devices/pci0000:00/${pci.raid.address}/host0/target0:0:${index}/0:0:${index}:0`;
    box.link(
      `sys/block/${id}`,
      `../devices/pci0000:00/${pci.raid.address}/host0/target0:0:${index}/0:0:${index}:0/block/${id}`,
    );
    const path = `${device}/block/${id}`;
    box.write(`${path}/size`, '8192\n');
    box.write(`${path}/dev`, `8:${index * 16}\n`);
    box.write(`${path}/queue/rotational`, '1\n');
    box.link(`${path}/device`, `../../../0:0:${index}:0`);
    box.write(`${device}/vendor`, 'ATA     \n');
    box.write(`${device}/model`, 'ST4000NM0035    \n');
    box.write(`${device}/wwid`, `naa.5000c500a1b2c3d${index}\n`);
    box.write(
      `${device}/vpd_pg80`,
      Buffer.concat([Buffer.from([0, 0x80, 0, 20]), Buffer.from('            ZC1ABCDE')]),
    );
    box.addDiskFile(id, 4 * 1024 * 1024);
  }
  // What is no disk of the box.
  for (const other of ['loop0', 'sr0', 'dm-0', 'zram0']) box.write(`sys/block/${other}/size`, '8192\n');
}

function addSystem(box: TrialBox): void {
  const dmi: Readonly<Record<string, string>> = {
    product_uuid: '4C4C4544-0042-3510-8052-B4C04F4D3232',
    sys_vendor: 'Dell Inc.',
    product_name: 'PowerEdge R740',
    product_serial: 'B5R2M22',
    bios_version: '2.12.2',
    chassis_type: '23',
    // Not filled in.
    board_serial: ' ',
  };
  for (const [name, text] of Object.entries(dmi)) box.write(`sys/class/dmi/id/${name}`, `${text}\n`);
  box.write('sys/firmware/efi/fw_platform_size', '64\n');
  box.link('sys/bus/usb/devices/1-2', '../../../devices/pci0000:00/0000:00:14.0/usb1/1-2');
  const usb = 'sys/devices/pci0000:00/0000:00:14.0/usb1/1-2';
  for (const [name, text] of Object.entries({
    idVendor: '0424',
    idProduct: '2660',
    busnum: '1',
    devnum: '3',
    bDeviceClass: '00',
    speed: '480',
  })) {
    box.write(`${usb}/${name}`, `${text}\n`);
  }
}
