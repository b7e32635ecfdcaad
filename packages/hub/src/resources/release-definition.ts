import { type Release, releaseSpecSchema, releaseStatusSchema, releases } from '@selvedge/api';
import type { ResourceDefinition } from '@selvedge/apiserver';
import { admitTies } from './admit-rollout.ts';
import { liftRelease, type LiftOptions } from './lift-release.ts';

export function releaseDefinition(options: LiftOptions): ResourceDefinition {
  return {
    ref: releases,
    singular: 'release',
    shortNames: ['rel'],
    categories: ['all', 'selvedge'],
    description:
      'What an application was made of at one time: immutable, named by its content. Made by the hub. POST to `lift` takes a condemnation away.',
    statusSubresource: true,
    schema: {
      type: 'object',
      required: ['spec'],
      properties: { spec: releaseSpecSchema, status: releaseStatusSchema },
    },
    admit: admitTies(releases),
    actions: {
      lift: {
        kind: { group: 'selvedge.dev', version: 'v1alpha1', kind: 'Release' },
        invoke: (object, body, context) => liftRelease(options, object as Release, { ...context, body }),
      },
    },
    columns: [
      {
        name: 'Application',
        type: 'string',
        description: 'Name of the application.',
        value: (o) => (o as Release).spec.application,
      },
      {
        name: 'State',
        type: 'string',
        description:
          'Approved: it passed every wave of a rollout. Condemned: it failed in one, and is offered to nobody.',
        value: (o) => stateOf(o as Release),
      },
      {
        name: 'Resources',
        type: 'integer',
        description: 'How many manifests are in it.',
        value: (o) => (o as Release).spec.resources?.length,
      },
      {
        name: 'Bytes',
        type: 'integer',
        description: 'Size of the manifests.',
        value: (o) => (o as Release).spec.sizeBytes,
      },
      {
        name: 'Images',
        type: 'string',
        description: 'Images that it names.',
        priority: 1,
        value: (o) => (o as Release).spec.images?.join(','),
      },
      {
        name: 'Digest',
        type: 'string',
        description: 'Digest of the manifests.',
        priority: 1,
        value: (o) => (o as Release).spec.digest,
      },
      {
        name: 'Condemned By',
        type: 'string',
        description: 'Rollout in which it failed.',
        priority: 1,
        value: (o) => (o as Release).status?.condemned?.rollout,
      },
    ],
  };
}

function stateOf({ status }: Release): string | undefined {
  if (status?.condemned) return 'Condemned';
  return status?.approvedTime === undefined ? undefined : 'Approved';
}
