import { type Release, releaseSpecSchema, releases } from '@selvedge/api';
import type { ResourceDefinition } from '@selvedge/apiserver';

export const releaseDefinition: ResourceDefinition = {
  ref: releases,
  singular: 'release',
  shortNames: ['rel'],
  categories: ['all', 'selvedge'],
  description:
    'What an application was made of at one time: immutable, named by its content. Made by the hub.',
  statusSubresource: false,
  schema: { type: 'object', required: ['spec'], properties: { spec: releaseSpecSchema } },
  columns: [
    {
      name: 'Application',
      type: 'string',
      description: 'Name of the application.',
      value: (o) => (o as Release).spec.application,
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
  ],
};
