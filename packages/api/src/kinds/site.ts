import Type, { type Static } from 'typebox';
import type { KubeObject, ObjectMeta, ResourceRef } from '../object-meta.ts';
import { conditionsSchema, fingerprintSchema, timeSchema } from './status-schemas.ts';

export const sites: ResourceRef = {
  group: 'selvedge.dev',
  version: 'v1alpha1',
  plural: 'sites',
  kind: 'Site',
  namespaced: false,
};

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
    applications: Type.Optional(
      Type.Object(
        {
          wanted: Type.Integer({ description: 'Applications that the site is to run.' }),
          running: Type.Integer({ description: 'Those that run the wanted release and are healthy.' }),
          progressing: Type.Integer({ description: 'Those that are not there yet.' }),
          failed: Type.Integer({ description: 'Those that failed or were refused.' }),
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
