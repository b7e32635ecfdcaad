import Type, { type Static } from 'typebox';
import type { KubeObject, ObjectMeta, ResourceRef } from '../object-meta.ts';
import { type LinkAccess, linkAccesses } from '../rules/link-access.ts';
import { heldRemovalSchema, removalApprovalSchema } from './application.ts';
import { siteInventoryStatusSchema } from './inventory-schema.ts';
import { rackSpecSchema, rackStatusSchema } from './rack-schemas.ts';
import { conditionsSchema, fingerprintSchema, timeSchema } from './status-schemas.ts';

export const sites: ResourceRef = {
  group: 'selvedge.dev',
  version: 'v1alpha1',
  plural: 'sites',
  kind: 'Site',
  namespaced: false,
};

const windowsSchema = (description: string) =>
  Type.Array(
    Type.Object({
      schedule: Type.String({
        minLength: 9,
        maxLength: 100,
        description:
          'Cron expression of five fields (minute hour day month weekday): when it opens, in spec.timeZone.',
      }),
      duration: Type.String({ description: 'How long it stays open, as a duration.' }),
    }),
    { maxItems: 20, description },
  );

const windowStateSchema = (description: string) =>
  Type.Object(
    {
      isOpen: Type.Boolean({ description: 'Whether it was open when the site spoke last.' }),
      changesAt: Type.Optional(timeSchema('When that changes next.')),
    },
    { description },
  );

const nodeGroupSchema = Type.Object({
  name: Type.String({
    minLength: 1,
    maxLength: 40,
    pattern: '^[a-z0-9]([-a-z0-9]*[a-z0-9])?$',
    description: 'Name of the group: a DNS label.',
  }),
  nodeSelector: Type.Optional(
    Type.Record(Type.String(), Type.String(), {
      description: 'Labels that its nodes have, all of them. None: every node.',
    }),
  ),
  tolerations: Type.Optional(
    Type.Array(
      Type.Object({
        key: Type.Optional(Type.String({ description: 'Key of the taint. Absent: every taint.' })),
        operator: Type.Optional(
          Type.Union([Type.Literal('Exists'), Type.Literal('Equal')], {
            description: 'Exists: whatever the value. Equal (the default): this value.',
          }),
        ),
        value: Type.Optional(Type.String({ description: 'Value of the taint.' })),
        effect: Type.Optional(
          Type.Union(
            [Type.Literal('NoSchedule'), Type.Literal('PreferNoSchedule'), Type.Literal('NoExecute')],
            { description: 'Effect of the taint. Absent: all.' },
          ),
        ),
        tolerationSeconds: Type.Optional(
          Type.Integer({ description: 'How long a pod stays on a node that got the taint (NoExecute).' }),
        ),
      }),
      { maxItems: 20, description: 'Taints of its nodes that pods pinned to the group tolerate.' },
    ),
  ),
});
export type NodeGroup = Static<typeof nodeGroupSchema>;

const linkAccessSchema = Type.Unsafe<LinkAccess>({
  type: 'string',
  enum: [...linkAccesses],
  default: 'Read',
  description:
    'What people may do at the site through sites/NAME/proxy. Disabled: nothing. Read: get, list, watch, logs. Full: all that their rights at the site allow, also exec, attach and port-forward. Kept by the agent at the site.',
});

export const siteSpecSchema = Type.Object(
  {
    displayName: Type.Optional(
      Type.String({ description: 'Name for people; metadata.name when absent.', maxLength: 253 }),
    ),
    location: Type.Optional(
      Type.Object(
        {
          address: Type.Optional(Type.String({ description: 'Postal address, free text.' })),
          latitude: Type.Optional(
            Type.Number({ minimum: -90, maximum: 90, description: 'Degrees, WGS 84.' }),
          ),
          longitude: Type.Optional(
            Type.Number({ minimum: -180, maximum: 180, description: 'Degrees, WGS 84.' }),
          ),
        },
        { description: 'Where the site is.' },
      ),
    ),
    timeZone: Type.Optional(
      Type.String({ description: 'IANA time zone of the site, as in Europe/Berlin.', default: 'UTC' }),
    ),
    connectivity: Type.Optional(
      Type.Object(
        {
          expected: Type.Optional(
            Type.String({
              description:
                'How long the site may be silent before it is overdue, as a duration (90s, 15m, 168h).',
              default: '24h',
            }),
          ),
        },
        { description: 'What to expect of the link to this site.' },
      ),
    ),
    variables: Type.Optional(
      Type.Record(Type.String(), Type.Union([Type.String(), Type.Number(), Type.Boolean()]), {
        description:
          'Values that differ by site. Manifests use them as ${site.variables.NAME}; a value that is exactly one reference keeps its type.',
      }),
    ),
    windows: Type.Optional(
      Type.Object(
        {
          download: Type.Optional(windowsSchema('When releases may be fetched. None: always.')),
          activate: Type.Optional(
            windowsSchema('When releases with activate Window may take over. None: always.'),
          ),
        },
        { description: 'When the site may change, in its own time zone; evaluated at the site.' },
      ),
    ),
    blackouts: Type.Optional(
      Type.Array(
        Type.Object({
          from: Type.String({
            format: 'date',
            description: 'First day, in the time zone of the site: 2026-12-20.',
          }),
          to: Type.String({ format: 'date', description: 'Last day, included.' }),
          reason: Type.Optional(Type.String({ maxLength: 200, description: 'Why, for people.' })),
        }),
        { maxItems: 50, description: 'Days on which nothing with activate Window takes over.' },
      ),
    ),
    hold: Type.Optional(
      Type.Object(
        { reason: Type.String({ minLength: 1, maxLength: 200, description: 'Why, for people.' }) },
        { description: 'Nothing is activated and nothing removed here while this stands.' },
      ),
    ),
    nodeGroups: Type.Optional(
      Type.Array(nodeGroupSchema, {
        maxItems: 50,
        description: 'Groups of the nodes of the site, for placement.nodeGroups of Applications.',
        'x-kubernetes-list-type': 'map',
        'x-kubernetes-list-map-keys': ['name'],
      }),
    ),
    link: Type.Optional(linkAccessSchema),
    depot: Type.Optional(
      Type.Object(
        {
          bandwidth: Type.Optional(
            Type.String({
              description:
                'Most that is fetched of images, in bytes a second as a quantity: 500k, 2Mi. Default: no limit.',
            }),
          ),
          size: Type.Optional(
            Type.String({
              description:
                'Most that images may take in the depot of the site, as a quantity: 20Gi. Default: 80 % of what is free.',
            }),
          ),
        },
        {
          description:
            'How the site brings images in: each blob once, within the download windows, kept for its nodes.',
        },
      ),
    ),
    rack: Type.Optional(rackSpecSchema),
    removal: Type.Optional(
      Type.Object(
        { approved: Type.Optional(removalApprovalSchema) },
        { description: 'How the Site leaves the fleet.' },
      ),
    ),
    revokedKeys: Type.Optional(
      Type.Array(fingerprintSchema, {
        description: 'Fingerprints (SHA256:…) of agent keys that may no longer speak for this site.',
        'x-kubernetes-list-type': 'set',
      }),
    ),
  },
  { description: 'What people say of the site.' },
);
export type SiteSpec = Static<typeof siteSpecSchema>;

/** Connected: heard of within one long-poll. Away: silent as expected. Overdue: silent for longer. */
export const siteConnectivitySchema = Type.Union(
  [Type.Literal('NeverConnected'), Type.Literal('Connected'), Type.Literal('Away'), Type.Literal('Overdue')],
  {
    description:
      'Connected: heard of within one long-poll. Away: silent, as may be. Overdue: silent for longer than spec.connectivity.expected.',
  },
);
export type SiteConnectivity = Static<typeof siteConnectivitySchema>;

const agentStatusSchema = Type.Object(
  {
    version: Type.String({ description: 'Version of the agent.' }),
    keyFingerprint: Type.String({ description: 'Fingerprint of the key that speaks for the site.' }),
    enrolledTime: timeSchema('When that key joined.'),
    hostname: Type.Optional(Type.String({ description: 'Name of the machine that the agent runs on.' })),
    os: Type.Optional(Type.String({ description: 'Operating system of the machine.' })),
    architecture: Type.Optional(Type.String({ description: 'Processor architecture, as in amd64.' })),
    runtime: Type.Optional(Type.String({ description: 'What runs the containers, as in podman 4.3.1.' })),
    sealingKey: Type.Optional(
      Type.String({
        maxLength: 100,
        description: 'X25519 public key that Secrets for this site are sealed to, base64url.',
      }),
    ),
    clockOffsetSeconds: Type.Optional(
      Type.Integer({
        description: "The agent's clock minus the hub's. Times it reports are corrected by it.",
      }),
    ),
  },
  { description: 'The agent, as it last described itself.' },
);

export const siteStatusSchema = Type.Object(
  {
    conditions: Type.Optional(conditionsSchema),
    /** Filled in when read, never stored, as are the next two and `applications`. */
    connectivity: Type.Optional(siteConnectivitySchema),
    lastSeenTime: Type.Optional(timeSchema('When the hub last heard from the agent.')),
    epoch: Type.Optional(
      Type.Integer({ description: 'Epoch of the desired state that the hub wants here.' }),
    ),
    agent: Type.Optional(agentStatusSchema),
    inventory: Type.Optional(siteInventoryStatusSchema),
    rack: Type.Optional(rackStatusSchema),
    mirrors: Type.Optional(
      Type.Array(
        Type.Object({
          uid: Type.String({ description: 'UID of the Application that mirrors this site.' }),
          order: Type.String({ description: 'Digest of what the site was asked for.' }),
          digest: Type.String({
            description: 'Digest of what the site has for it; empty: it cannot be read.',
          }),
          objects: Type.Integer({ description: 'How many objects that is.' }),
          message: Type.Optional(
            Type.String({ description: 'Why it cannot be read, or what was left out, for people.' }),
          ),
          observedTime: timeSchema('When the site found it so.'),
          received: Type.Optional(
            Type.String({ description: 'Digest of what the hub has received of it last.' }),
          ),
        }),
        {
          description: 'What applications take from this site (spec.source.mirror), as its agent last said.',
        },
      ),
    ),
    holds: Type.Optional(
      Type.Array(
        Type.Object({
          item: Type.Optional(Type.String({ description: 'What is held; absent: the whole site.' })),
          reason: Type.String({ description: 'What the person gave as reason.' }),
          by: Type.String({ description: 'Who did it, by their name on that machine.' }),
          sinceTime: timeSchema('Since when.'),
        }),
        { description: 'Holds set by people at the site.' },
      ),
    ),
    windows: Type.Optional(
      Type.Object(
        {
          download: windowStateSchema('The window for fetching.'),
          activate: windowStateSchema('The window for taking over, blackouts and holds considered.'),
        },
        { description: 'Windows as the site sees them.' },
      ),
    ),
    hubInstances: Type.Optional(
      Type.Array(
        Type.Object({
          instance: Type.String({ description: 'Names a living hub database.' }),
          lastSeenTime: timeSchema('When the site last had an answer of it.'),
        }),
        { description: 'Two hubs with one identity answer this site in turns; newest last.' },
      ),
    ),
    acts: Type.Optional(
      Type.Object(
        {
          keyFingerprint: Type.String({ description: 'Key of the agent that counts them.' }),
          acknowledged: Type.Integer({ description: 'Those up to this number have become Events.' }),
        },
        { description: 'What was done at the site itself, as far as the hub knows of it.' },
      ),
    ),
    hubBehind: Type.Optional(
      Type.Object(
        {
          agentEpoch: Type.Integer({ description: 'Epoch of the state that the site follows.' }),
          stateDigest: Type.String({ description: 'Digest of that state.' }),
          applications: Type.Array(
            Type.Object({
              name: Type.String({ description: 'As namespace/name.' }),
              release: Type.String({ description: 'Release that the site is to run by that state.' }),
              digest: Type.String({ description: 'Digest of that release.' }),
            }),
            { description: 'What the site is to run by that state; the first 200.' },
          ),
          machines: Type.Optional(
            Type.Array(
              Type.Object({
                name: Type.String({ description: 'Name of the Machine.' }),
                followed: Type.String({ description: 'What its rack was told of it last.' }),
                wanted: Type.String({ description: 'What this hub has of it.' }),
              }),
              { description: 'Machines of which the rack was told something else; the first 200.' },
            ),
          ),
        },
        { description: 'What the site follows while that is newer than what the hub knows.' },
      ),
    ),
    recovery: Type.Optional(
      Type.Object(
        {
          action: Type.Union([Type.Literal('Adopt'), Type.Literal('Override')], {
            description:
              'Adopt: what the site follows becomes what the hub wants. Override: the other way round.',
          }),
          state: Type.Union([Type.Literal('Requested'), Type.Literal('Done'), Type.Literal('Refused')], {
            description: 'Requested: done as soon as the site is in touch.',
          }),
          requestedBy: Type.String({ description: 'User who asked for it.' }),
          requestedTime: timeSchema('When.'),
          completedTime: Type.Optional(timeSchema('When it was done or refused.')),
          message: Type.Optional(Type.String({ description: 'What came of it, for people.' })),
          changes: Type.Optional(
            Type.Array(Type.String(), { description: 'What changes, or is not complete; the first 100.' }),
          ),
        },
        { description: 'The last wish to bring site and hub in step again.' },
      ),
    ),
    heldRemoval: Type.Optional(heldRemovalSchema),
    applications: Type.Optional(
      Type.Object(
        {
          wanted: Type.Integer({ description: 'Applications that the site is to run.' }),
          running: Type.Integer({ description: 'Those that run the wanted release and are healthy.' }),
          progressing: Type.Integer({ description: 'Those that are not there yet.' }),
          prepared: Type.Optional(
            Type.Integer({ description: 'Those of them that are prepared, and wait.' }),
          ),
          failed: Type.Integer({ description: 'Those that failed or were refused.' }),
          drifted: Type.Optional(
            Type.Integer({ description: 'Those in which others changed something that is not put back.' }),
          ),
        },
        { description: 'Applications of the site, by what it last reported.' },
      ),
    ),
  },
  { description: 'What is known of the site.' },
);
export type SiteStatus = Static<typeof siteStatusSchema>;

export interface Site extends KubeObject {
  apiVersion: 'selvedge.dev/v1alpha1';
  kind: 'Site';
  metadata: ObjectMeta;
  spec?: SiteSpec;
  status?: SiteStatus;
}
