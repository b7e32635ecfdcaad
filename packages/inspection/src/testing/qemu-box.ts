import { type ChildProcess, spawn } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { getTool } from '@selvedge/testkit';

export interface QemuBoot {
  /** Kernel, initrd and command line instead of the disk. */
  readonly system?: { readonly directory: string; readonly kernelLine: string };
}

/** A virtual machine with one disk, on QEMU's own network, from which the host's loopback is 10.0.2.2. */
export class QemuBox {
  readonly #folder: string;
  readonly #disk: string;
  #running: { readonly qemu: ChildProcess; readonly gone: Promise<unknown> } | undefined;

  constructor(folder: string, disk: string) {
    this.#folder = folder;
    this.#disk = disk;
  }

  /** Always under TCG, slow but the same everywhere; ends by itself after ten minutes. The clock of the box begins in 2001. */
  start({ system }: QemuBoot): void {
    const boot =
      system === undefined
        ? []
        : [
            ['-kernel', join(system.directory, 'vmlinuz')],
            ['-initrd', join(system.directory, 'initrd.img')],
            ['-append', system.kernelLine],
          ].flat();
    const qemu = spawn(
      getTool('setpriv'),
      [
        // It goes off with whoever started it.
        ['--pdeathsig', 'KILL', getTool('qemu-system-x86_64')],
        ['-machine', 'pc', '-accel', 'tcg,thread=multi', '-m', '256'],
        [
          '-display',
          'none',
          '-monitor',
          'none',
          '-serial',
          `file:${join(this.#folder, 'console')}`,
          '-no-reboot',
        ],
        ['-rtc', 'base=2001-02-03T04:05:06', '-uuid', '6c1b7f3e-1111-4222-8333-944455556666'],
        ['-smbios', 'type=1,serial=S1,manufacturer=Acme,product=EdgeBox', ...boot],
        ['-netdev', 'user,id=n0', '-device', 'virtio-net-pci,netdev=n0,mac=52:54:00:aa:bb:02,romfile='],
        ['-drive', `file=${this.#disk},format=raw,if=none,id=d0,cache=unsafe`],
        ['-device', 'virtio-blk-pci,drive=d0,serial=DISK1'],
      ].flat(),
      { stdio: 'ignore', signal: AbortSignal.timeout(600_000), killSignal: 'SIGKILL' },
    );
    // The time limit says so by an error event as well.
    qemu.on('error', () => undefined);
    this.#running = { qemu, gone: new Promise((resolve) => qemu.once('exit', resolve)) };
  }

  /** Until it switched itself off or asked to boot again. */
  async ended(): Promise<void> {
    await this.#running?.gone;
    this.#running = undefined;
  }

  async unplug(): Promise<void> {
    this.#running?.qemu.kill('SIGKILL');
    await this.ended();
  }

  console(): string {
    return readFileSync(join(this.#folder, 'console'), 'utf8');
  }
}
