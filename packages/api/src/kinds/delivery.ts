import Type, { type Static } from 'typebox';
import type { KubeObject, ObjectMeta, ResourceRef } from '../object-meta.ts';
import { siteConnectivitySchema } from './site.ts';
import type { Activation } from '../sync/sync-protocol.ts';
import { timeSchema } from './status-schemas.ts';

export const deliveries: ResourceRef = {
  group: 'selvedge.dev',
  version: 'v1alpha1',
  plural: 'deliveries',
  kind: 'Delivery',
  namespaced: true,
};

/** What the agent says of one item; the order is that of its life. */
export const deliveryStates = [
  'Pending', // assigned, nothing done yet
  'Preparing', // fetching manifests and images, checking
  'Prepared', // could be activated; waits for the hub, a window, an instant or a person
  'Activating', // containers are being replaced
  'Running', // everything the release asks for is healthy
  'Degraded', // was Running for this release, something is unhealthy now
  'Failed', // did not become healthy; what ran before runs again, or goes on, where there was something
  'Refused', // the site cannot honour it; nothing was touched
  'Removing', // a tombstone is being carried out
  'Removed',
] as const;
export type DeliveryState = (typeof deliveryStates)[number];

export const deliverySpecSchema = Type.Object(
  {
    application: Type.String({ description: 'Name of the Application.' }),
    site: Type.String({ description: 'Name of the Site.' }),
    release: Type.Optional(
      Type.String({ description: 'Release that the site is to run; absent while it is to be removed.' }),
    ),
    digest: Type.Optional(Type.String({ description: 'Digest of that release.' })),
    epoch: Type.Integer({ description: "Epoch of the site's desired state that brought this assignment." }),
    assignedTime: timeSchema('When the release was assigned to the site.'),
    activate: Type.Optional(
      Type.Unsafe<Activation>({
        type: 'string',
        enum: ['Hold', 'Window', 'Now', 'At'],
        description: 'When the site may switch to it. Hold: not before the hub says so.',
      }),
    ),
    activateTime: Type.Optional(timeSchema('The instant, with At.')),
    attempt: Type.Optional(Type.Integer({ description: 'Which try of this release it is.' })),
    fallback: Type.Optional(
      Type.String({
        description: 'Release that proved itself here last: what runs until then, and after a failure.',
      }),
    ),
    rollout: Type.Optional(Type.String({ description: 'Rollout that assigned it.' })),
    wave: Type.Optional(Type.String({ description: 'Wave of that rollout.' })),
  },
  { description: 'What is wanted at the site.' },
);
export type DeliverySpec = Static<typeof deliverySpecSchema>;

export const deliveryStatusSchema = Type.Object(
  {
    /** Derived from the report when it speaks of this very assignment, else Pending (or Removing). */
    state: Type.Unsafe<DeliveryState>({
      type: 'string',
      enum: [...deliveryStates],
      description: 'What the site says of the wanted release; Pending until it has said anything.',
    }),
    runningRelease: Type.Optional(
      Type.String({ description: 'Release that the site last said it has running, whatever is wanted.' }),
    ),
    reason: Type.Optional(Type.String({ description: 'Why it is in this state, in CamelCase.' })),
    message: Type.Optional(Type.String({ description: 'The same for people.' })),
    logs: Type.Optional(
      Type.Array(Type.String(), { description: 'Last log lines of the container at fault.' }),
    ),
    pods: Type.Optional(
      Type.Object(
        {
          wanted: Type.Integer({ description: 'Pods that the release asks for.' }),
          ready: Type.Integer({ description: 'Pods that are ready.' }),
        },
        { description: 'Pods of the application at the site.' },
      ),
    ),
    waiting: Type.Optional(
      Type.Object(
        {
          reason: Type.String({
            description: 'DownloadWindow, ActivateWindow, Blackout, Instant, SiteHold, HubHold or Hub.',
          }),
          until: Type.Optional(timeSchema('When that is over, as far as it is known.')),
          message: Type.Optional(Type.String({ description: 'The same for people.' })),
        },
        { description: 'What the site waits for, when that is no fault.' },
      ),
    ),
    progress: Type.Optional(
      Type.Object(
        {
          done: Type.Integer({ description: 'Images that are there.' }),
          total: Type.Integer({ description: 'Images that are needed.' }),
          doneBytes: Type.Optional(Type.Integer({ description: 'Bytes that are there, as far as known.' })),
          totalBytes: Type.Optional(Type.Integer({ description: 'Bytes that are needed, as far as known.' })),
          image: Type.Optional(
            Type.String({ description: 'What is being fetched; the bytes are of this image then.' }),
          ),
          doneAt: Type.Optional(timeSchema('When it should be there, at the pace of the last while.')),
        },
        { description: 'How far preparing is.' },
      ),
    ),
    activatedTime: Type.Optional(timeSchema('When the site switched to the wanted release.')),
    wentBack: Type.Optional(
      Type.String({
        description:
          'The site went back to runningRelease: Unhealthy (by itself) or RolledBackBySite (a person there).',
      }),
    ),
    drift: Type.Optional(
      Type.Array(Type.String(), {
        description:
          'What others changed at the site and is not put back (drift: Report): Kind/name: field, field. The first 20.',
      }),
    ),
    sinceTime: Type.Optional(
      timeSchema("When the state became what it is, by the site's clock as corrected by the hub."),
    ),
    /** Absent: never reported. */
    observedTime: Type.Optional(timeSchema('When the agent last saw that this holds, by the same clock.')),
    receivedTime: Type.Optional(timeSchema('When the hub heard of it.')),
    connectivity: siteConnectivitySchema,
    lastSeenTime: Type.Optional(timeSchema('When the hub last heard from the site.')),
  },
  { description: 'What the site last said, and how old that is.' },
);
export type DeliveryStatus = Static<typeof deliveryStatusSchema>;

/**
 * One application at one site. Virtual: read-only, watchable, served from the fleet store. Name:
 * `<application>.<site>`; labels `selvedge.dev/application`, `selvedge.dev/site`.
 */
export interface Delivery extends KubeObject {
  apiVersion: 'selvedge.dev/v1alpha1';
  kind: 'Delivery';
  metadata: ObjectMeta;
  spec: DeliverySpec;
  status: DeliveryStatus;
}
