/**
 * What a booting box says to the rack's boot server (plain HTTP on the provisioning network), and what it hears. Everything after the boot script is
 * made for a shell with busybox: requests are bodies of lines `key value`, answers the same; a value is one line of UTF-8 without control characters.
 *
 * - `GET /boot/ARCH/FILE`: boot loaders for UEFI HTTP boot, the same files that TFTP gives (`bootLoaders`). With HEAD and Content-Length, without redirects.
 * - `GET /ipxe/boot.ipxe`: the first script, the same for all; it chains to the next with what the firmware knows.
 * - `GET /ipxe/decide?mac=&uuid=&serial=&platform=&arch=&product=&manufacturer=`: the script for this box and this boot. One that boots the inspection system
 *   carries `selvedge.rack=http://HOST:PORT selvedge.boot=NONCE` in the kernel command line. Each script also stands signed under `….sig` where the rack has a key.
 * - `GET /system/ARCH/FILE`: `vmlinuz`, `initrd.img` of the inspection system.
 * - `POST /machine/v1/session`, body `nonce …`, `mac …` (one line for each port), `uuid …`, `serial …`: once for each nonce, from the address that was given the
 *   script or where its MAC address answers by now, within `nonceSeconds`. Answer: `token …`. A second use is 403 and becomes a moment of the machine's timeline.
 *
 * With `Authorization: Bearer TOKEN` from here on; 401 when the rack no longer knows it (the system reboots to the network then).
 *
 * - `POST /machine/v1/inventory`: `MachineInventory` as JSON; before the first task, and after every change that the system made to the disks.
 * - `GET /machine/v1/task`: one `SystemTask` as lines (`formatSystemTask`); 204 after at most `taskPollSeconds` when there is none yet: ask again. The same task is
 *   given again until it was answered, also to another boot of the machine.
 * - `POST /machine/v1/task/N`, body `status ok|failed|degraded|skipped|timedout`, optional `reason MachineErrorReason`, `exit N`, `seconds N`, `message …`; further lines that begin with
 *   `value KEY TEXT` for result values, and after a line `output` everything to the end is output. 409 when N is not the present task: ask for the task.
 * - `POST /machine/v1/progress`, body `step MachineStep`, `done N`, `total N`: about every two seconds while at work; answer `continue`, or `abort` when the order has changed.
 * - `POST /machine/v1/log`, any text: goes to the machine's console log at the rack.
 * - `GET /machine/v1/script/NAME`: text of a script.
 * - `GET /machine/v1/image/map`: lines `INDEX OFFSET LENGTH SHA256`, or `zero` for the digest; offsets ascend and cover the disk image without gaps.
 * - `GET /machine/v1/image/chunk/INDEX`: its bytes, with Content-Length.
 * - `GET /machine/v1/seed/{meta-data,user-data,vendor-data,network-config}`: 404 where there is none.
 *
 * From the installed system, without a session:
 * - `POST /confirm/v1/TOKEN`: form fields as cloud-init's `phone_home` posts them (`instance_id`, `hostname`), or none. Once; the token is in the seed only.
 * - `GET /nocloud/TOKEN/{meta-data,user-data,vendor-data,network-config}`: the same seed for images that are given its address; until the system was confirmed.
 */
export const nonceSeconds = 600;
export const taskPollSeconds = 20;
export const imageChunkBytes = 4 * 1024 * 1024;
export const rackPort = 5248;

/** What the rack asks of the inspection system, one at a time. Devices are named by kernel name and must have the size and serial that are given. */
export type SystemTask =
  | { readonly task: 'collect' }
  | {
      readonly task: 'script';
      readonly name: string;
      readonly timeoutSeconds: number;
      readonly forHardware: readonly string[];
      readonly mayReboot: boolean;
      /** The box restarted or fell silent in the middle of it: the script learns that by HAS_STARTED. */
      readonly hasStarted: boolean;
    }
  | { readonly task: 'test'; readonly name: 'memory' | 'disk' | 'network'; readonly timeoutSeconds: number }
  /** Quick: partition tables and signatures at both ends. Secure: the drive's own erase where it has one, else every byte. */
  | { readonly task: 'erase'; readonly mode: 'quick' | 'secure'; readonly devices: readonly TaskDevice[] }
  /** `resume`: chunks that are on the disk already (by their digest) are not fetched again. */
  | {
      readonly task: 'write';
      readonly device: TaskDevice;
      readonly diskBytes: number;
      readonly chunks: number;
      readonly chunkBytes: number;
      readonly resume: boolean;
    }
  /** A small partition labelled CIDATA at the end of the disk, or where there is no room for one the seed folder of the root file system. */
  | { readonly task: 'seed'; readonly device: TaskDevice; readonly files: readonly string[] }
  | { readonly task: 'rescue'; readonly authorizedKeys: readonly string[] }
  /** To its disk or the network: the boot server decides anew. */
  | { readonly task: 'reboot' }
  | { readonly task: 'poweroff' };

export interface TaskDevice {
  readonly id: string;
  readonly size: number;
  readonly serial?: string;
}
