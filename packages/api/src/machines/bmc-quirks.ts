/**
 * Where baseboard controllers differ from what Redfish (DSP0266) and IPMI say, as data: which behaviour a driver needs, and on whose machines. Each is proven against an
 * emulated BMC that behaves so.
 */
export interface BmcQuirk {
  readonly name: string;
  /** What the BMC does, and what the driver does about it: one sentence for people. */
  readonly description: string;
  /** Parts of `Manufacturer` or `Vendor` (without case) that bring it; none: only by name, or found out at run time. */
  readonly vendors: readonly string[];
}

const supermicro = ['supermicro', 'super micro'];
const dell = ['dell'];
const hpe = ['hpe', 'hewlett'];
const ami = ['ami', 'american megatrends', 'asrock', 'gigabyte', 'giga computing'];
const nvidia = ['nvidia'];

/** In the order of the table in docs/guides/bmc.md. */
export const bmcQuirks = [
  // What is to be booted.
  {
    name: 'FullBootRequest',
    description:
      'Forgets what a boot request does not name: the driver always sends enabled, target and mode together.',
    vendors: supermicro,
  },
  {
    name: 'BootOverrideReverts',
    description:
      'Says yes to a boot request and keeps another one: the driver reads back, tries its other ways, and says NotHonoured.',
    vendors: [],
  },
  {
    name: 'BootModeResetsWithTarget',
    description: 'Falls back to legacy boot when the target changes: the driver names the mode each time.',
    vendors: supermicro,
  },
  {
    name: 'NoBootMode',
    description: 'Knows no boot mode (Supermicro X10, HPE Gen9): the driver sends none.',
    vendors: [],
  },
  {
    name: 'MinimalBootRequest',
    description:
      'Refuses a boot request that names all fields (HPE DL160 Gen10): the driver sends enabled and target only.',
    vendors: [],
  },
  {
    name: 'OverrideIgnored',
    description:
      'Its firmware boots by its own order though the override reads well: the rack sees that no boot request came and goes on to the next fall-back.',
    vendors: [],
  },
  {
    name: 'OnceIgnored',
    description:
      'Its firmware ignores an override for one boot: the driver sets it for all boots, and the rack decides each time.',
    vendors: [],
  },
  {
    name: 'BootModeNeedsReboot',
    description:
      'Changes the boot mode only at the next start: the driver accepts that it still reads the former one.',
    vendors: dell,
  },
  {
    name: 'NotFoundWhileJob',
    description: 'Answers 404 while it makes a configuration job: the driver asks again.',
    vendors: dell,
  },
  {
    name: 'SettingsResource',
    description:
      'Takes changes only at its settings resource (400 OperationSupportedInFutureStateURI): the driver writes there.',
    vendors: ami,
  },
  // Power.
  {
    name: 'ConflictAfterPowerOff',
    description: 'Answers 409 to power-on just after power-off: the driver asks again.',
    vendors: dell,
  },
  {
    name: 'BusyDuringPost',
    description:
      'Refuses changes while the machine starts (400 UnableToModifyDuringSystemPOST): the driver asks again.',
    vendors: hpe,
  },
  {
    name: 'InvalidAfterPowerChange',
    description: 'Answers 400 "invalid for system state" just after power changed: the driver asks again.',
    vendors: hpe,
  },
  {
    name: 'PowerStateUnsettled',
    description:
      'Reads Reset, Unknown or nothing for a while: the driver reads again before it says Unknown.',
    vendors: hpe,
  },
  {
    name: 'PowerStateStuck',
    description:
      'Reads the same power state whatever the machine does: when no boot request comes, the rack has it turned off and on again without asking.',
    vendors: [],
  },
  {
    name: 'PowerLoop',
    description:
      'Restarts a machine that is told to turn on while it is on: the driver reads the state first and never repeats a power-on.',
    vendors: hpe,
  },
  {
    name: 'FewResetTypes',
    description: 'Cannot restart: the driver turns off, waits until it is off, and turns on.',
    vendors: [],
  },
  {
    name: 'TaskMonitorWrong',
    description: 'Answers with a task that never ends: the driver reads the resource itself.',
    vendors: hpe,
  },
  // Virtual media.
  {
    name: 'UsbCdTarget',
    description: 'Boots virtual media only as UsbCd: the driver asks for that target.',
    vendors: supermicro,
  },
  {
    name: 'ImageOnlyInsert',
    description: 'Refuses Inserted and WriteProtected with an image: the driver sends the image only.',
    vendors: supermicro,
  },
  {
    name: 'EjectNeedsBody',
    description: 'Refuses to eject without a body: the driver sends an empty object.',
    vendors: hpe,
  },
  {
    name: 'EjectLags',
    description:
      'Shows media for a while after it was ejected: the driver ejects first and waits until it is gone.',
    vendors: dell,
  },
  {
    name: 'MediaByPatch',
    description: 'Has no action to insert media (Lenovo SD530): the driver writes the slot itself.',
    vendors: [],
  },
  {
    name: 'InternalMediaSlots',
    description: 'Has slots that take no image (Cisco, OpenBMC): the driver tries the next one.',
    vendors: ['cisco', 'openbmc'],
  },
  {
    name: 'MediaNeedsLogin',
    description: 'Demands a user name and a password for any image: the driver sends made-up ones.',
    vendors: nvidia,
  },
  {
    name: 'MediaNeedsTransferMethod',
    description: 'Demands TransferProtocolType and TransferMethod with an image: the driver sends them.',
    vendors: [],
  },
  {
    name: 'MediaNeedsLicence',
    description: 'Inserts no media without a licence: the driver says so and does not try again.',
    vendors: [],
  },
  {
    name: 'OemMediaBoot',
    description:
      'Boots virtual media only by a call of its own (iDRAC9 before 4.40.10, AMD before 6.00): the driver makes it.',
    vendors: [],
  },
  // The wire.
  {
    name: 'TrailingSlash',
    description: 'Answers 404 to paths without a slash at the end: the driver adds it.',
    vendors: [],
  },
  {
    name: 'Redirects',
    description: 'Redirects writes: the driver follows, with the same method and never to another host.',
    vendors: [],
  },
  {
    name: 'EtagRequired',
    description: 'Refuses a write without a fresh ETag (412, 428): the driver reads one before each write.',
    vendors: [],
  },
  {
    name: 'EtagRefused',
    description: 'Refuses a write with any ETag: the driver sends none.',
    vendors: [],
  },
  {
    name: 'WeakEtagRefused',
    description: 'Gives weak ETags and takes only strong ones: the driver strips the mark.',
    vendors: [],
  },
  {
    name: 'SessionServiceNeedsLogin',
    description: 'Does not show the session service to strangers: the driver logs in without reading it.',
    vendors: [],
  },
  {
    name: 'FewSessions',
    description:
      'Has few sessions and forgets none: the driver ends its own at once, and does without when none is left.',
    vendors: [],
  },
  {
    name: 'NoSessions',
    description: 'Has no sessions: the driver sends the login with each request.',
    vendors: [],
  },
  {
    name: 'PasswordChangeRequired',
    description:
      'Refuses all until the first password was changed, or a password that its policy does not like: the driver makes no users, and says what to do.',
    vendors: [],
  },
  {
    name: 'FreezesUnderBursts',
    description: 'Stops answering under many calls: calls of one BMC never overlap and keep a distance.',
    vendors: [],
  },
  {
    name: 'BiosNeedsLicence',
    description: 'Shows BIOS settings only with a licence: the driver never reads them.',
    vendors: supermicro,
  },
  {
    name: 'OtherSystem',
    description:
      'Its address leads to another machine than the one it is written at (Lenovo XCC with several addresses): the driver compares UUID and serial number, and switches nothing.',
    vendors: [],
  },
  {
    name: 'ForeignIdentity',
    description:
      'Gives a UUID and a serial number that its machine does not have: once this is named, the driver does not compare them.',
    vendors: [],
  },
  // IPMI.
  {
    name: 'EfiBootFlagIgnored',
    description: 'Ignores options=efiboot over IPMI: the driver writes the boot flags as bytes.',
    vendors: [],
  },
  {
    name: 'NoCipherSuite17',
    description: 'Refuses cipher suite 17 over IPMI: the driver takes suite 3.',
    vendors: [],
  },
] as const satisfies readonly BmcQuirk[];

export type BmcQuirkName = (typeof bmcQuirks)[number]['name'];

/** Names of all, for `Machine.spec.bmc.quirks`. */
export const bmcQuirkNames: readonly BmcQuirkName[] = bmcQuirks.map(({ name }) => name);
