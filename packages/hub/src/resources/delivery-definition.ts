import { type Delivery, deliveries, deliveryStatusSchema, deliverySpecSchema } from '@selvedge/api';
import type { VirtualResourceDefinition } from '@selvedge/apiserver';
import { deliverySource } from './delivery-source.ts';
import type { FleetView } from './fleet-view.ts';

export function deliveryDefinition(view: FleetView): VirtualResourceDefinition {
  return {
    ref: deliveries,
    singular: 'delivery',
    shortNames: ['dlv'],
    categories: ['all', 'selvedge'],
    description:
      'One application at one site: what is wanted there, what the site last said, and how old that is. Read-only.',
    statusSubresource: false,
    schema: { type: 'object', properties: { spec: deliverySpecSchema, status: deliveryStatusSchema } },
    source: deliverySource(view),
    selectableFields: {
      'spec.application': (o) => (o as Delivery).spec.application,
      'spec.site': (o) => (o as Delivery).spec.site,
      'spec.release': (o) => (o as Delivery).spec.release ?? '',
      'status.state': (o) => (o as Delivery).status.state,
    },
    columns: [
      {
        name: 'Site',
        type: 'string',
        description: 'Name of the site.',
        value: (o) => (o as Delivery).spec.site,
      },
      {
        name: 'Application',
        type: 'string',
        description: 'Name of the application.',
        value: (o) => (o as Delivery).spec.application,
      },
      {
        name: 'State',
        type: 'string',
        description: 'What the site says of the wanted release.',
        value: (o) => (o as Delivery).status.state,
      },
      {
        name: 'Release',
        type: 'string',
        description: 'Release that the site is to run.',
        value: (o) => (o as Delivery).spec.release,
      },
      {
        name: 'Reason',
        type: 'string',
        description: 'Why, or what it waits for.',
        value: (o) => {
          const { reason, waiting } = (o as Delivery).status;
          return reason ?? (waiting && `Waiting: ${waiting.reason}`);
        },
      },
      {
        name: 'Drifted',
        type: 'integer',
        description: 'Objects that others changed at the site, and that are not put back.',
        value: (o) => (o as Delivery).status.drift?.length,
      },
      {
        name: 'Since',
        type: 'date',
        description: 'How long it has been in this state.',
        value: (o) => (o as Delivery).status.sinceTime,
      },
      {
        name: 'Observed',
        type: 'date',
        description: 'Age of what the site last said.',
        value: (o) => (o as Delivery).status.observedTime,
      },
      {
        name: 'Connectivity',
        type: 'string',
        description: 'Whether the site is in touch.',
        value: (o) => (o as Delivery).status.connectivity,
      },
      {
        name: 'Running',
        type: 'string',
        description: 'Release that runs there now.',
        priority: 1,
        value: (o) => (o as Delivery).status.runningRelease,
      },
      {
        name: 'Activate',
        type: 'string',
        description: 'When the site may switch: Hold, Window, Now, or an instant.',
        priority: 1,
        value: (o) => (o as Delivery).spec.activateTime ?? (o as Delivery).spec.activate,
      },
      {
        name: 'Prepared',
        type: 'string',
        description: 'Images that are there, of those needed, and how far the one is that is being fetched.',
        priority: 1,
        value: (o) => preparedOf((o as Delivery).status),
      },
      {
        name: 'Waits Until',
        type: 'string',
        description: 'When what it waits for is over, as far as it is known.',
        priority: 1,
        value: (o) => (o as Delivery).status.waiting?.until,
      },
      {
        name: 'Message',
        type: 'string',
        description: 'What the site says.',
        priority: 1,
        value: (o) => (o as Delivery).status.message,
      },
      {
        name: 'Age',
        type: 'date',
        description: 'Time since the release was assigned to the site.',
        priority: 1,
        value: (o) => (o as Delivery).spec.assignedTime,
      },
    ],
  };
}

function preparedOf({ progress }: Delivery['status']): string | undefined {
  if (progress === undefined) return undefined;
  const { done, total, doneBytes, totalBytes, image } = progress;
  const isFetching = image !== undefined && doneBytes !== undefined && totalBytes;
  const percent = isFetching ? `, ${Math.floor((doneBytes / totalBytes) * 100)} %` : '';
  return `${done}/${total}${percent}`;
}
