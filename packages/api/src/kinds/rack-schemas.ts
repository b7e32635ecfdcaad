import Type, { type Static } from 'typebox';
import { dhcpModes } from '../machines/rack-order.ts';
import { oneOf } from './machine-schemas.ts';
import { timeSchema } from './status-schemas.ts';

const ipv4 = (description: string) => Type.String({ maxLength: 15, description });

/** `Site.spec.rack`. */
export const rackSpecSchema = Type.Object(
  {
    discovery: Type.Optional(
      oneOf(
        ['Record', 'Inspect', 'Ignore'] as const,
        'Boxes that nobody knows. Record (the default): a Machine with accepted: false. Inspect: their inventory is taken as well. Ignore: they get no answer.',
      ),
    ),
    networks: Type.Array(
      Type.Object({
        name: Type.String({
          minLength: 1,
          maxLength: 40,
          pattern: '^[a-z0-9]([-a-z0-9]*[a-z0-9])?$',
          description: 'Name of the network: a DNS label.',
        }),
        interface: Type.String({
          minLength: 1,
          maxLength: 15,
          pattern: '^[A-Za-z0-9._-]+$',
          description: 'Network interface of the machine that the agent runs on.',
        }),
        dhcp: Type.Optional(
          oneOf(
            dhcpModes,
            'Own (the default): the rack gives addresses. Proxy: another server does, the rack adds how to boot. External: the other server says how to boot.',
          ),
        ),
        address: Type.String({
          maxLength: 18,
          description: 'Address of the rack there, with its prefix: 10.10.0.1/24.',
        }),
        range: Type.Optional(
          Type.Object(
            { from: ipv4('First address.'), to: ipv4('Last address.') },
            { description: 'Addresses to give; needed with Own.' },
          ),
        ),
        gateway: Type.Optional(ipv4('Router that machines are told.')),
        dnsServers: Type.Optional(
          Type.Array(ipv4('A DNS server.'), { maxItems: 5, description: 'That machines are told.' }),
        ),
        ntpServers: Type.Optional(
          Type.Array(ipv4('A time server.'), {
            maxItems: 5,
            description: 'That machines are told; default the rack is not one.',
          }),
        ),
        leaseTime: Type.Optional(
          Type.String({ description: 'How long an address is given for, as a duration; default 10m.' }),
        ),
      }),
      {
        maxItems: 16,
        description: 'Networks on which machines boot.',
        'x-kubernetes-list-type': 'map',
        'x-kubernetes-list-map-keys': ['name'],
      },
    ),
    writesAtOnce: Type.Optional(
      Type.Integer({
        minimum: 1,
        maximum: 1000,
        description:
          'Machines whose disks are written at the same time; the others wait, started, for their turn. Default 8.',
      }),
    ),
    inspectionImages: Type.Optional(
      Type.Array(Type.String({ maxLength: 253 }), {
        maxItems: 4,
        description:
          'MachineImages of type Inspection, one for each architecture; default the newest of each.',
        'x-kubernetes-list-type': 'set',
      }),
    ),
  },
  {
    description:
      'The site boots and installs machines. Its agent must have the role (selvedge-agent run --rack).',
  },
);
export type RackSpec = Static<typeof rackSpecSchema>;

/** `Site.status.rack`. */
export const rackStatusSchema = Type.Object(
  {
    observedTime: timeSchema('When the rack said so.'),
    message: Type.Optional(Type.String({ description: 'Why it does not work.' })),
    networks: Type.Array(
      Type.Object({
        name: Type.String({ description: 'Name of the network.' }),
        interface: Type.String({ description: 'Interface of the rack.' }),
        state: oneOf(['Serving', 'Failed', 'Off'] as const, 'Whether machines can boot there.'),
        message: Type.Optional(Type.String({ description: 'Why not.' })),
        otherServers: Type.Optional(
          Type.Array(
            Type.Object({
              address: Type.String({ description: 'Address of the DHCP server.' }),
              macAddress: Type.Optional(Type.String({ description: 'Its MAC address.' })),
              lastSeenTime: timeSchema('When it answered last.'),
            }),
            { description: 'DHCP servers that should not be there.' },
          ),
        ),
      }),
      { description: 'Its networks.' },
    ),
    discoveryFull: Type.Optional(
      Type.Object(
        {
          limit: Type.Integer({ description: 'How many boxes that nobody wants the rack remembers.' }),
          turnedAway: Type.Integer({
            description: 'How many others came of late, which are shown nowhere; counted to 1000.',
          }),
          lastSeenTime: timeSchema('When one of them came last.'),
        },
        { description: 'There are more boxes that nobody wants than the rack remembers.' },
      ),
    ),
    images: Type.Array(
      Type.Object({
        name: Type.String({ description: 'Name of the MachineImage.' }),
        digest: Type.String({ description: 'Its digest.' }),
        state: oneOf(['Ready', 'Fetching', 'Failed'] as const, 'Whether it is whole at the site.'),
        doneBytes: Type.Optional(Type.Number({ description: 'How much is there.' })),
        totalBytes: Type.Optional(Type.Number({ description: 'Of how much.' })),
        message: Type.Optional(Type.String({ description: 'Why it failed.' })),
      }),
      { description: 'Images at the site.' },
    ),
  },
  { description: 'The rack, as it last described itself.' },
);
export type RackStatus = Static<typeof rackStatusSchema>;
