/** Folders of drivers (below `kernel/`) that an inspection may need to see, test and write the hardware of a box. */
const wantedFolders = [
  'drivers/ata/',
  'drivers/char/hw_random/',
  'drivers/firmware/qemu_fw_cfg',
  'drivers/hid/hid-generic',
  'drivers/hid/hid.ko',
  'drivers/hid/usbhid/',
  'drivers/hv/',
  'drivers/input/evdev',
  'drivers/message/fusion/',
  'drivers/mmc/',
  'drivers/net/ethernet/',
  'drivers/net/hyperv/',
  'drivers/net/net_failover',
  'drivers/net/phy/',
  'drivers/net/usb/',
  'drivers/net/virtio_net',
  'drivers/net/vmxnet3/',
  'drivers/net/xen-netfront',
  'drivers/nvme/host/',
  'drivers/pci/controller/',
  'drivers/scsi/',
  'drivers/usb/core/',
  'drivers/usb/host/',
  'drivers/usb/storage/',
  'drivers/virtio/',
  'fs/btrfs/',
  'fs/efivarfs/',
  'fs/fat/',
  'fs/nls/nls_ascii',
  'fs/nls/nls_cp437',
  'fs/nls/nls_utf8',
  'fs/xfs/',
];

const wantedFiles = [
  'drivers/acpi/button.ko',
  'drivers/block/virtio_blk.ko',
  'drivers/block/xen-blkfront.ko',
  'drivers/cdrom/cdrom.ko',
  'drivers/char/ipmi/ipmi_devintf.ko',
  'drivers/char/ipmi/ipmi_msghandler.ko',
  'drivers/char/ipmi/ipmi_si.ko',
];

/**
 * In the wanted folders, but of no use to a box that boots from its network and has disks of its own. Adapters of storage networks would show it volumes that are not
 * its own, and an erase would take them for disks.
 */
const unwantedFolders = [
  'drivers/message/fusion/mptfc',
  'drivers/net/phy/sfp',
  'drivers/nvme/host/nvme-fabrics',
  'drivers/nvme/host/nvme-fc',
  'drivers/nvme/host/nvme-rdma',
  'drivers/nvme/host/nvme-tcp',
  'drivers/scsi/be2iscsi/',
  'drivers/scsi/bfa/',
  'drivers/scsi/bnx2fc/',
  'drivers/scsi/bnx2i/',
  'drivers/scsi/csiostor/',
  'drivers/scsi/cxgbi/',
  'drivers/scsi/device_handler/',
  'drivers/scsi/elx/',
  'drivers/scsi/fcoe/',
  'drivers/scsi/fnic/',
  'drivers/scsi/iscsi',
  'drivers/scsi/libfc/',
  'drivers/scsi/libiscsi',
  'drivers/scsi/lpfc/',
  'drivers/scsi/pcmcia/',
  'drivers/scsi/qedf/',
  'drivers/scsi/qedi/',
  'drivers/scsi/qla2xxx/',
  'drivers/scsi/qla4xxx/',
  'drivers/scsi/scsi_debug',
  'drivers/scsi/scsi_transport_fc',
  'drivers/scsi/scsi_transport_iscsi',
  'drivers/scsi/snic/',
  'drivers/usb/host/sl811',
];

/** Whether a module (`kernel/drivers/net/virtio_net.ko`) is asked for by the inspection system. */
export function isModuleForInspection(path: string): boolean {
  const inKernel = path.replace(/^kernel\//, '');
  const begins = (folder: string) => inKernel.startsWith(folder);
  return (wantedFolders.some(begins) || wantedFiles.some(begins)) && !unwantedFolders.some(begins);
}
