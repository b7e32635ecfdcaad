import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { zstdCompressSync } from 'node:zlib';
import { madeUpModule } from '../testing/made-up-module.ts';
import { FileTree } from './file-tree.ts';
import { addKernelModules } from './kernel-modules.ts';
import { isModuleForInspection } from './wanted-modules.ts';

const modules: Readonly<Record<string, readonly string[]>> = {
  'kernel/drivers/net/virtio_net.ko': ['alias=virtio:d00000001v*', 'depends=net_failover,built_in'],
  'kernel/drivers/net/net_failover.ko': ['depends=failover'],
  'kernel/net/core/failover.ko': ['depends='],
  'kernel/drivers/gpu/card.ko': ['alias=pci:v000010DE*', 'depends='],
  // Compressed, as newer Debian has them, with a name that is written both ways, and a wish.
  'kernel/drivers/scsi/sd-mod.ko.zst': ['alias=scsi:t-0x00*', 'depends=', 'softdep=pre: crc-t10dif'],
  // The wish goes in a circle.
  'kernel/crypto/crc_t10dif.ko': ['depends=', 'softdep=post: sd_mod'],
};

async function indexesOf(t: TestContext): Promise<Map<string, string>> {
  const folder = mkdtempSync(join(tmpdir(), 'selvedge-modules-'));
  t.after(() => rmSync(folder, { recursive: true }));
  for (const [path, info] of Object.entries(modules)) {
    mkdirSync(dirname(join(folder, path)), { recursive: true });
    const bytes = madeUpModule(['license=GPL', ...info]);
    writeFileSync(join(folder, path), path.endsWith('.zst') ? zstdCompressSync(bytes) : bytes);
  }
  writeFileSync(join(folder, 'modules.builtin'), 'kernel/lib/built_in.ko\n');
  const tree = new FileTree();
  await addKernelModules(tree, { release: '6.1', vmlinuz: '', modulesDir: folder }, isModuleForInspection);
  return new Map(
    tree.entries().map(([path, { content }]) => [path, Buffer.from(content).toString('latin1')]),
  );
}

test('wanted modules bring all that they need, the deepest last, and others stay out', async (t) => {
  const files = await indexesOf(t);
  assert.equal(
    files.get('lib/modules/6.1/modules.dep'),
    [
      'kernel/crypto/crc_t10dif.ko: kernel/drivers/scsi/sd-mod.ko',
      'kernel/drivers/net/net_failover.ko: kernel/net/core/failover.ko',
      'kernel/drivers/net/virtio_net.ko: kernel/drivers/net/net_failover.ko kernel/net/core/failover.ko',
      'kernel/drivers/scsi/sd-mod.ko: kernel/crypto/crc_t10dif.ko',
      'kernel/net/core/failover.ko:',
      '',
    ].join('\n'),
  );
  assert.equal(files.has('lib/modules/6.1/kernel/drivers/gpu/card.ko'), false);
});

test('modules are found by what the hardware calls itself', async (t) => {
  const files = await indexesOf(t);
  assert.equal(
    files.get('lib/modules/6.1/modules.alias'),
    'alias virtio:d00000001v* virtio_net\nalias scsi:t-0x00* sd_mod\n',
  );
});

test('adapters of storage networks get no driver: their volumes are not the disks of one box', () => {
  for (const name of [
    'lpfc/lpfc',
    'qla2xxx/qla2xxx',
    'bfa/bfa',
    'fnic/fnic',
    'qedf/qedf',
    'qedi/qedi',
    'be2iscsi/be2iscsi',
  ]) {
    assert.ok(!isModuleForInspection(`kernel/drivers/scsi/${name}.ko`), name);
  }
  for (const name of [
    'sd_mod',
    'megaraid/megaraid_sas',
    'mpt3sas/mpt3sas',
    'mpi3mr/mpi3mr',
    'smartpqi/smartpqi',
    'virtio_scsi',
  ]) {
    assert.ok(isModuleForInspection(`kernel/drivers/scsi/${name}.ko`), name);
  }
  assert.ok(isModuleForInspection('kernel/drivers/nvme/host/nvme.ko'));
});
