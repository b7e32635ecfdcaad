import { bootScriptPath, type MachineArchitecture } from '@selvedge/api';
import type { BootDecision } from './machine-desk.ts';

/** Where the box reaches the rack: `http://10.10.0.1:5248`. */
export type RackUrl = string;

export interface DecisionScriptOptions {
  readonly rackUrl: RackUrl;
  /** What the box told of itself, to tell it again: the query of its question, without `attempt`. */
  readonly query: string;
  readonly platform: 'BIOS' | 'UEFI';
  readonly architecture: MachineArchitecture;
  /** How often it was told to ask again before this time. */
  readonly attempt: number;
  /** The rack has a key: what firmware may check stands beside each file as `….sig`. */
  readonly isSigned: boolean;
}

/**
 * The first script, the same for every box: asks the rack what to boot, with what the firmware knows. A rack that does not answer is asked again for a minute, then the box
 * boots its own disk: a site must come up when its rack does not. `netX` is the port it booted from; iPXE versions without it have net0.
 */
export function firstScript(options: { rackUrl: RackUrl; isSigned: boolean }): string {
  const { rackUrl } = options;
  const question = `${rackUrl}/ipxe/decide?${firmwareQuery}`;
  return script([
    'isset ${netX/mac} && set port netX || set port net0',
    'set mac ${netX/mac}',
    'isset ${mac} || set mac ${net0/mac}',
    'set tries:int32 0',
    ':ask',
    ...load({ url: question, signature: `${rackUrl}/ipxe/decide.sig?${firmwareQuery}`, ...options }),
    // The rack answers, and refused: nothing for this box.
    `chain --replace ${rackUrl}${refusedScriptPath} ||`,
    'echo The rack does not answer.',
    'inc tries',
    'iseq ${tries} 6 && goto disk ||',
    'sleep 10',
    'goto ask',
    ':disk',
    ...leave,
  ]);
}

/** What `boot.ipxe` goes on with when the rack answers and has nothing for the box. */
export const refusedScriptPath = '/ipxe/refused.ipxe';
export const refusedScript: string = script(['exit 1']);

/** The script for one box and this boot. Undefined: the answer is "not found". */
export function decisionScript(decision: BootDecision, options: DecisionScriptOptions): string | undefined {
  switch (decision.boot) {
    case 'System':
      return systemScript(decision, options);
    case 'Disk':
      if (decision.method === 'NotFound') return undefined;
      return script(decision.method === 'Sanboot' ? [...sanboot, ...leave] : leave);
    case 'PowerOff':
      // Firmware that cannot switch itself off stays here and is asked about again, so that it does not boot in circles.
      return script(['poweroff ||', 'echo Ready to be switched off.', 'sleep 60', ...askAgain(options, 0)]);
    case 'Wait':
      if (options.attempt >= decision.attempts) return script(leave);
      return script([
        `echo ${printable(decision.message)}`,
        `sleep ${wholeSeconds(decision.seconds)}`,
        ...askAgain(options, options.attempt + 1),
      ]);
  }
}

/** The rack itself is in trouble: asked again for a minute, then the box boots its disk. */
export const troubled: BootDecision = {
  boot: 'Wait',
  seconds: 5,
  attempts: 12,
  message: 'The rack has trouble; asking again.',
};

function systemScript(
  decision: Extract<BootDecision, { boot: 'System' }>,
  options: DecisionScriptOptions,
): string {
  const { rackUrl, architecture, isSigned } = options;
  const files = `${rackUrl}/system/${architecture}`;
  const words = [
    'initrd=initrd.img',
    `selvedge.rack=${rackUrl}`,
    `selvedge.boot=${decision.nonce}`,
    'BOOTIF=01-${mac:hexhyp}',
    ...decision.kernelArguments.map(kernelWord),
  ];
  return script([
    'isset ${mac} || set mac ${net0/mac}',
    `kernel --name vmlinuz ${files}/vmlinuz ${words.join(' ')} || goto failed`,
    `initrd --name initrd.img ${files}/initrd.img || goto failed`,
    ...(isSigned
      ? [`imgverify vmlinuz ${files}/vmlinuz.sig ||`, `imgverify initrd.img ${files}/initrd.img.sig ||`]
      : []),
    'boot || goto failed',
    ':failed',
    'imgfree',
    'echo The system could not be loaded; asking again.',
    'sleep 10',
    ...askAgain(options, options.attempt),
  ]);
}

/** What vendors wrote comes last: iPXE leaves `&` in it as it is, and the first of two parameters counts. */
const firmwareQuery = [
  'mac=${mac}',
  'uuid=${uuid}',
  'platform=${platform}',
  'arch=${buildarch}',
  'serial=${serial:uristring}',
  'product=${product:uristring}',
  'manufacturer=${manufacturer:uristring}',
].join('&');

/** After the rack has gone away in mid-conversation, the box starts over; boot.ipxe knows when to give up. */
function askAgain({ rackUrl, query, isSigned }: DecisionScriptOptions, attempt: number): string[] {
  const again = `${query}&attempt=${attempt}`;
  return [
    ...load({
      url: `${rackUrl}/ipxe/decide?${again}`,
      signature: `${rackUrl}/ipxe/decide.sig?${again}`,
      isSigned,
    }),
    `chain --replace ${rackUrl}${bootScriptPath} ||`,
    ...leave,
  ];
}

/** Fetches a script and goes on with it. Firmware that trusts everything goes on when it cannot check; one that was told to trust only signed images refuses by itself. */
function load(what: { url: string; signature: string; isSigned: boolean }): string[] {
  if (!what.isSigned) return [`chain --replace ${what.url} ||`];
  return [
    `imgfetch --name decision ${what.url} || goto unasked`,
    `imgverify decision ${what.signature} ||`,
    'chain --replace decision ||',
    ':unasked',
    'imgfree decision ||',
  ];
}

/** BIOS: iPXE ends and the firmware takes its next boot device. UEFI: the same by a failure code, which the firmware sees. */
const leave: readonly string[] = ['iseq ${platform} efi && exit 1 || exit'];

const sanboot: readonly string[] = [
  'sanboot --no-describe --drive 0x80 ||',
  'sanboot --no-describe --drive 0x81 ||',
];

function script(lines: readonly string[]): string {
  return `#!ipxe\n${lines.join('\n')}\n`;
}

/** iPXE expands `${…}` and splits commands at `&&`, `||` and quotes: none of it gets into a script from outside. */
function printable(text: string): string {
  return text.replaceAll(/[^A-Za-z0-9 .,:;()/_-]/g, ' ').slice(0, 200);
}

/** One word of the kernel command line, as the rack itself makes them. */
function kernelWord(word: string): string {
  if (!/^[A-Za-z0-9_.,:;=@%+/-]{1,500}$/.test(word)) {
    throw new Error(
      `a kernel argument may hold letters, digits and _.,:;=@%+/- only: ${JSON.stringify(word)}`,
    );
  }
  return word;
}

const wholeSeconds = (seconds: number) => Math.min(Math.max(1, Math.round(seconds)), 3600);
