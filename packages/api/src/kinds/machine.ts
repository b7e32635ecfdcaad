import Type, { type Static } from 'typebox';
import type { MachineInventory } from '../machines/machine-inventory.ts';
import {
  machineErrorReasons,
  machinePhases,
  machineSteps,
  operationalStatuses,
} from '../machines/machine-phases.ts';
import { powerStates } from '../machines/machine-report.ts';
import { bmcTypes, bootModes, eraseModes, machineTests } from '../machines/rack-order.ts';
import type { KubeObject, ObjectMeta, ResourceRef } from '../object-meta.ts';
import { oneOf, rootDeviceHintsSchema, secretReferenceSchema, userDataSchema } from './machine-schemas.ts';
import { conditionsSchema, timeSchema } from './status-schemas.ts';

export const machines: ResourceRef = {
  group: 'selvedge.dev',
  version: 'v1alpha1',
  plural: 'machines',
  kind: 'Machine',
  namespaced: false,
};

const macAddress = (description: string) =>
  Type.String({ pattern: '^[0-9a-f]{2}(:[0-9a-f]{2}){5}$', description });

const identitySchema = Type.Object(
  {
    uuid: Type.Optional(
      Type.String({
        pattern: '^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$',
        description: 'SMBIOS system UUID, in lower case.',
      }),
    ),
    serials: Type.Optional(
      Type.Array(Type.String({ minLength: 1, maxLength: 100 }), {
        maxItems: 10,
        description: 'Serial numbers of the system, chassis or board.',
        'x-kubernetes-list-type': 'set',
      }),
    ),
    macAddresses: Type.Optional(
      Type.Array(macAddress('Lower case, with colons.'), {
        maxItems: 32,
        description: 'Of its network ports; the first is the one that it boots from.',
        'x-kubernetes-list-type': 'set',
      }),
    ),
  },
  { description: 'How the rack knows it: at least one of these. Two Machines of a site may not share any.' },
);

const bmcSchema = Type.Object(
  {
    type: oneOf(
      bmcTypes,
      'Redfish, IPMI: a baseboard controller. WakeOnLAN: on only. Webhook: your own program. Manual: a person presses the button.',
    ),
    address: Type.Optional(
      Type.String({
        maxLength: 500,
        description:
          'Redfish: https://host[:port][/redfish/v1/Systems/ID]. IPMI: host[:port]. WakeOnLAN: broadcast address; default that of the rack. Webhook: https:// address.',
      }),
    ),
    secretRef: Type.Optional(
      secretReferenceSchema('Secret with username and password (IPMI also kg; Webhook: token).'),
    ),
    cipherSuite: Type.Optional(
      Type.Integer({
        minimum: 0,
        maximum: 17,
        description: 'Of IPMI; default 17, then 3. Not 0, which asks for no password.',
      }),
    ),
    caCertificate: Type.Optional(
      Type.String({
        maxLength: 20000,
        description: 'PEM of the authority that signed the certificate of the BMC.',
      }),
    ),
    insecureSkipVerify: Type.Optional(
      Type.Boolean({ description: 'Accept any certificate of the BMC. Most ship with a self-signed one.' }),
    ),
    quirks: Type.Optional(
      Type.Array(Type.String({ maxLength: 60 }), {
        maxItems: 30,
        description: 'Quirks of its firmware, beside those that the rack knows by its vendor.',
        'x-kubernetes-list-type': 'set',
      }),
    ),
    macAddress: Type.Optional(macAddress('Port to wake (WakeOnLAN); default the first of the identity.')),
    console: Type.Optional(
      Type.String({ maxLength: 200, description: 'Serial console, when not that of IPMI: tcp://host:port.' }),
    ),
  },
  { description: 'How it is switched. Absent: as with type Manual.' },
);

export const machineSpecSchema = Type.Object(
  {
    siteName: Type.String({
      minLength: 1,
      maxLength: 253,
      description: 'Site where it stands. Cannot be changed.',
    }),
    displayName: Type.Optional(Type.String({ maxLength: 253, description: 'Name for people.' })),
    identity: identitySchema,
    accepted: Type.Optional(
      Type.Boolean({
        default: true,
        description:
          'It belongs here. Discovered machines come with false: nothing is done to them until it is true.',
      }),
    ),
    bmc: Type.Optional(bmcSchema),
    bootMode: Type.Optional(oneOf(bootModes, 'Firmware that it boots with; default as it asks.')),
    localBoot: Type.Optional(
      oneOf(
        ['Exit', 'Sanboot', 'NotFound'] as const,
        'How its boot loader is sent on to its own disk; default by its firmware.',
      ),
    ),
    power: Type.Optional(
      oneOf(
        ['On', 'Off'] as const,
        'Wanted power. Default: as the phase needs it, off while it is Available.',
      ),
    ),
    address: Type.Optional(
      Type.String({ maxLength: 45, description: 'IPv4 address that it always gets from the rack.' }),
    ),
    consumer: Type.Optional(
      Type.Object(
        {
          kind: Type.String({
            minLength: 1,
            maxLength: 63,
            description: 'MachineClaim, or what else has it.',
          }),
          name: Type.String({ minLength: 1, maxLength: 253, description: 'Name of it.' }),
          uid: Type.Optional(Type.String({ maxLength: 64, description: 'UID of it.' })),
        },
        { description: 'Who has the machine. Absent: it can be claimed.' },
      ),
    ),
    provision: Type.Optional(
      Type.Object(
        {
          image: Type.String({ minLength: 1, maxLength: 253, description: 'Name of a MachineImage.' }),
          hostname: Type.Optional(
            Type.String({ maxLength: 63, description: 'Default: name of the Machine.' }),
          ),
          userData: Type.Optional(userDataSchema('cloud-init user data; default that of the image.')),
          networkConfig: Type.Optional(
            Type.String({
              maxLength: 16384,
              description: 'cloud-init network configuration, version 1 or 2.',
            }),
          ),
          rootDevice: Type.Optional(rootDeviceHintsSchema),
          instanceId: Type.Optional(
            Type.String({
              maxLength: 100,
              pattern: '^[A-Za-z0-9._-]+$',
              description: 'Another value provisions the same image again.',
            }),
          ),
        },
        { description: 'What is to be on its disk. Taking it away releases the machine.' },
      ),
    ),
    release: Type.Optional(
      Type.Object(
        {
          erase: Type.Optional(
            oneOf(
              eraseModes,
              'None: disks stay as they are. Quick: partition tables and signatures. Secure: by the erase of the drive itself, or all of it written over.',
            ),
          ),
        },
        { description: 'How it is released once provision is taken away.' },
      ),
    ),
    wipeConsent: Type.Optional(
      Type.String({
        maxLength: 253,
        description:
          'Name of this machine: what is on its disks may be lost, by provisioning over it or by release.erase. Needs the verb wipe.',
      }),
    ),
    inspection: Type.Optional(
      Type.Object(
        {
          tests: Type.Optional(
            Type.Array(oneOf(machineTests, 'memory, disk or network.'), {
              description: 'Tests to run after the inventory was taken.',
              'x-kubernetes-list-type': 'set',
            }),
          ),
          disabled: Type.Optional(
            Type.Boolean({ description: 'It becomes Available without having been inspected.' }),
          ),
        },
        { description: 'What is done before it is Available.' },
      ),
    ),
    requests: Type.Optional(
      Type.Object(
        {
          inspectTime: Type.Optional(timeSchema('Inspect it again: done once for each newer time.')),
          rebootTime: Type.Optional(timeSchema('Restart it: done once for each newer time.')),
          retryTime: Type.Optional(timeSchema('Try again what failed: done once for each newer time.')),
        },
        { description: 'What is to be done once.' },
      ),
    ),
    rescue: Type.Optional(
      Type.Object(
        {
          authorizedKeys: Type.Optional(
            Type.Array(Type.String({ maxLength: 2000 }), {
              maxItems: 20,
              description: 'SSH public keys that open the rescue system.',
            }),
          ),
        },
        { description: 'It boots the rescue system; nothing on its disks is touched by the rack.' },
      ),
    ),
    broken: Type.Optional(
      Type.Object(
        { reason: Type.String({ minLength: 1, maxLength: 500, description: 'Why, for people.' }) },
        { description: 'It is out of use: neither claimed nor switched.' },
      ),
    ),
    protected: Type.Optional(
      Type.Boolean({ description: 'Nothing is written, erased or switched off, whatever else stands here.' }),
    ),
    externallyProvisioned: Type.Optional(
      Type.Boolean({
        description: 'It ran before Selvedge knew it: it counts as Provisioned and nothing is wiped.',
      }),
    ),
  },
  { description: 'What people want of the machine.' },
);
export type MachineSpec = Static<typeof machineSpecSchema>;

const count = (description: string) => Type.Integer({ description });

const momentSchema = Type.Object({
  n: count('Counts from 1.'),
  time: timeSchema('When, by the clock of the rack.'),
  type: oneOf(['Normal', 'Warning'] as const, 'Whether somebody should look.'),
  reason: Type.String({ description: 'What, in CamelCase.' }),
  message: Type.String({ description: 'The same for people.' }),
});

const scriptResultSchema = Type.Object({
  name: Type.String({ description: 'Name of the script or test.' }),
  status: oneOf(['Passed', 'Failed', 'Degraded', 'Skipped', 'TimedOut'] as const, 'What came of it.'),
  exitCode: Type.Optional(count('Of the script.')),
  durationSeconds: Type.Optional(Type.Number({ description: 'How long it ran.' })),
  output: Type.Optional(Type.String({ description: 'End of what it printed.' })),
  values: Type.Optional(Type.Record(Type.String(), Type.String(), { description: 'Of its result file.' })),
  time: timeSchema('When it ended.'),
});

export const machineStatusSchema = Type.Object(
  {
    phase: Type.Optional(oneOf(machinePhases, 'Where it is in its life, as its site last said.')),
    phaseSince: Type.Optional(timeSchema('Since when.')),
    operationalStatus: Type.Optional(
      oneOf(operationalStatuses, 'OK, Working, Waiting for something outside, or Error.'),
    ),
    error: Type.Optional(
      Type.Object(
        {
          reason: oneOf(machineErrorReasons, 'Why, for programs.'),
          message: Type.String({ description: 'Why, and what to do about it.' }),
          since: timeSchema('Since when.'),
          count: count('How often in a row.'),
        },
        { description: 'What went wrong.' },
      ),
    ),
    waiting: Type.Optional(
      Type.Object(
        {
          step: Type.Optional(oneOf(machineSteps, 'What the rack is doing.')),
          expected: Type.String({ description: 'What should happen next at the machine.' }),
          since: timeSchema('Since when that is expected.'),
          until: Type.Optional(timeSchema('When it is given up.')),
          lastSeen: Type.Optional(
            Type.Object(
              { what: Type.String({ description: 'For people.' }), time: timeSchema('When.') },
              { description: 'The last sign of life.' },
            ),
          ),
          next: Type.String({ description: 'What happens when it does not come.' }),
        },
        { description: 'What is waited for.' },
      ),
    ),
    progress: Type.Optional(
      Type.Object(
        {
          step: oneOf(machineSteps, 'Of what.'),
          done: Type.Number({ description: 'How much is done.' }),
          total: Type.Number({ description: 'Of how much.' }),
          unit: oneOf(
            ['Bytes', 'Parts', 'Scripts'] as const,
            'Of both. Parts: patterns of memory, places of a disk, requests. Scripts: Parts, as an earlier hub stored it.',
          ),
        },
        { description: 'How far the step is.' },
      ),
    ),
    power: Type.Optional(
      Type.Object(
        {
          state: oneOf(powerStates, 'As last read.'),
          observedTime: timeSchema('When.'),
          message: Type.Optional(Type.String({ description: 'Why it is not known.' })),
        },
        { description: 'Whether it is on.' },
      ),
    ),
    seen: Type.Optional(
      Type.Object(
        {
          uuid: Type.Optional(Type.String({ description: 'SMBIOS UUID.' })),
          serials: Type.Optional(Type.Array(Type.String(), { description: 'Serial numbers.' })),
          macAddresses: Type.Optional(Type.Array(Type.String(), { description: 'Of its ports.' })),
          product: Type.Optional(Type.String({ description: 'Model.' })),
          manufacturer: Type.Optional(Type.String({ description: 'Who made it.' })),
          bootMode: Type.Optional(oneOf(bootModes, 'How it booted last.')),
          architecture: Type.Optional(Type.String({ description: 'As in amd64.' })),
          address: Type.Optional(Type.String({ description: 'Address that it had last.' })),
          lastBootTime: Type.Optional(timeSchema('When it last asked the rack what to boot.')),
        },
        { description: 'What the box itself showed.' },
      ),
    ),
    provisioned: Type.Optional(
      Type.Object(
        {
          image: Type.String({ description: 'Name of the MachineImage.' }),
          digest: Type.String({ description: 'Digest of it.' }),
          instanceId: Type.String({ description: 'Instance that cloud-init knows.' }),
          device: Type.String({ description: 'Disk that it was written to.' }),
          serial: Type.Optional(Type.String({ description: 'Serial number of the disk.' })),
          writtenTime: timeSchema('When it was written.'),
          confirmedTime: Type.Optional(timeSchema('When the installed system was first seen to run.')),
        },
        { description: 'What is on its disk.' },
      ),
    ),
    disks: Type.Optional(oneOf(['Blank', 'Data'] as const, 'Whether its disks hold data.')),
    inventory: Type.Optional(
      Type.Unsafe<MachineInventory>({
        type: 'object',
        'x-kubernetes-preserve-unknown-fields': true,
        description: 'What it is made of, in the shape of machine-resources (LXD resources API).',
      }),
    ),
    inventoryDigest: Type.Optional(Type.String({ description: 'Digest of the inventory.' })),
    inspectedTime: Type.Optional(timeSchema('When the inventory was taken.')),
    results: Type.Optional(Type.Array(scriptResultSchema, { description: 'Of scripts and tests.' })),
    answered: Type.Optional(
      Type.Object(
        {
          inspect: Type.Optional(timeSchema('spec.requests.inspectTime that was done.')),
          reboot: Type.Optional(timeSchema('spec.requests.rebootTime that was done.')),
          retry: Type.Optional(timeSchema('spec.requests.retryTime that was done.')),
        },
        { description: 'Requests that were carried out.' },
      ),
    ),
    timeline: Type.Optional(
      Type.Array(momentSchema, { description: 'The last 100 things that happened, oldest first.' }),
    ),
    tags: Type.Optional(Type.Array(Type.String(), { description: 'MachineTags that its inventory has.' })),
    /** Of the rack's last report. */
    reportSeq: Type.Optional(count('Number of the last report of the rack.')),
    observedGeneration: Type.Optional(count('metadata.generation that the rack acts on.')),
    observedTime: Type.Optional(timeSchema('When the rack last looked.')),
    /** Accepted, Inspected, Provisioned, Healthy, Synced. */
    conditions: Type.Optional(conditionsSchema),
  },
  { description: 'What is known of the machine, as its site last said.' },
);
export type MachineStatus = Static<typeof machineStatusSchema>;

export interface Machine extends KubeObject {
  apiVersion: 'selvedge.dev/v1alpha1';
  kind: 'Machine';
  metadata: ObjectMeta;
  spec: MachineSpec;
  status?: MachineStatus;
}
