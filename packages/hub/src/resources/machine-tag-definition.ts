import {
  type FieldError,
  fieldInvalid,
  type MachineTag,
  machineTags,
  machineTagSpecSchema,
  machineTagStatusSchema,
} from '@selvedge/api';
import type { ResourceDefinition } from '@selvedge/apiserver';
import { validateExpression } from './validate-expression.ts';

/** Names of tags are parts of label keys. */
const maxNameLength = 63;

export const machineTagDefinition: ResourceDefinition = {
  ref: machineTags,
  singular: 'machinetag',
  shortNames: ['mtag'],
  categories: ['selvedge'],
  description: 'A name for machines of a kind, found by what they are made of.',
  statusSubresource: true,
  nameRule: 'label',
  schema: {
    type: 'object',
    required: ['spec'],
    properties: { spec: machineTagSpecSchema, status: machineTagStatusSchema },
  },
  validate: (object) => validateMachineTag(object as MachineTag),
  columns: [
    {
      name: 'Expression',
      type: 'string',
      description: 'What makes a machine have it.',
      value: (o) => (o as MachineTag).spec.expression,
    },
    {
      name: 'Machines',
      type: 'integer',
      description: 'How many have it.',
      value: (o) => (o as MachineTag).status?.machines,
    },
    {
      name: 'Ready',
      type: 'string',
      description: 'Whether every machine could be judged.',
      value: (o) => (o as MachineTag).status?.conditions?.find((c) => c.type === 'Ready')?.status,
    },
  ],
};

function validateMachineTag({ metadata, spec }: MachineTag): FieldError[] {
  const errors = validateExpression(spec.expression, 'spec.expression');
  if (metadata.name.length > maxNameLength) {
    errors.push(
      fieldInvalid('metadata.name', metadata.name, `must be no more than ${maxNameLength} characters`),
    );
  }
  return errors;
}
