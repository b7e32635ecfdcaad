import {
  type FieldError,
  fieldInvalid,
  fieldNotSupported,
  type ResourceQuota,
  resourceQuotas,
} from '@selvedge/api';
import type { JsonSchema, ResourceDefinition } from '../resource-definition.ts';
import { countableNames, countedResource, findCount } from './counted-resources.ts';

const quantities = (description: string): JsonSchema => ({
  type: 'object',
  description,
  additionalProperties: { 'x-kubernetes-int-or-string': true },
});

/** Limits how many objects a namespace may have; the server itself keeps to it and counts (`QuotaLedger`). */
export const resourceQuotaDefinition: ResourceDefinition = {
  ref: resourceQuotas,
  singular: 'resourcequota',
  shortNames: ['quota'],
  description: 'How many objects a namespace may have.',
  statusSubresource: true,
  strategicMergePatch: true,
  schema: {
    type: 'object',
    properties: {
      spec: {
        type: 'object',
        description: 'The limits.',
        default: {},
        properties: { hard: quantities('Largest number of objects, by count/RESOURCE.GROUP.') },
      },
      status: {
        type: 'object',
        description: 'The limits in force, and what of them is used. Written by the server.',
        default: {},
        properties: {
          hard: quantities('The limits in force.'),
          used: quantities('How many objects there are.'),
        },
      },
    },
  },
  prepare: (object) => withTexts(object as ResourceQuota),
  validate: (object) => validateQuota(object as ResourceQuota),
  columns: [
    {
      name: 'Request',
      type: 'string',
      description: 'What is used of each limit.',
      value: (object) => usageText(object as ResourceQuota),
    },
    { name: 'Limit', type: 'string', description: 'Limits of containers: not used.', value: () => '' },
    {
      name: 'Age',
      type: 'date',
      description: 'Time since the object was created.',
      value: ({ metadata }) => metadata.creationTimestamp,
    },
  ],
};

function usageText({ status }: ResourceQuota): string {
  const { hard = {}, used = {} } = status ?? {};
  return Object.keys(hard)
    .sort()
    .map((name) => `${name}: ${used[name] ?? '0'}/${hard[name]}`)
    .join(', ');
}

/** Quantities are texts, and `5` may be written as a number. */
function withTexts(quota: ResourceQuota): ResourceQuota {
  const hard = quota.spec?.hard;
  if (!hard || Object.values(hard).every((value) => typeof value === 'string')) return quota;
  const texts = Object.fromEntries(Object.entries(hard).map(([name, value]) => [name, String(value)]));
  return { ...quota, spec: { ...quota.spec, hard: texts } };
}

function validateQuota({ spec }: ResourceQuota): FieldError[] {
  return Object.entries(spec?.hard ?? {}).flatMap(([name, quantity]) => {
    if (countedResource(name) === undefined) return [fieldNotSupported('spec.hard', name, countableNames)];
    if (findCount(quantity) !== undefined) return [];
    return [fieldInvalid(`spec.hard[${name}]`, quantity, 'must be a whole number, as in 10 or 5k')];
  });
}
