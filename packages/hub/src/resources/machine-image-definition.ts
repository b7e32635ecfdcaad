import {
  type FieldError,
  fieldForbidden,
  fieldInvalid,
  fieldRequired,
  type MachineImage,
  machineImages,
  machineImageSpecSchema,
  machineImageStatusSchema,
  parseImageReference,
} from '@selvedge/api';
import type { ResourceDefinition } from '@selvedge/apiserver';
import { admitMachineImage } from './machine-admission.ts';

export const machineImageDefinition: ResourceDefinition = {
  ref: machineImages,
  singular: 'machineimage',
  shortNames: ['mimg'],
  categories: ['selvedge'],
  description:
    'What can be put on a machine: an OS image by its digest. What it is made of cannot be changed: another content is another MachineImage.',
  statusSubresource: true,
  schema: {
    type: 'object',
    required: ['spec'],
    properties: { spec: machineImageSpecSchema, status: machineImageStatusSchema },
  },
  validate: (object, previous) =>
    validateMachineImage(object as MachineImage, previous as MachineImage | undefined),
  admit: async (object, previous, context) =>
    admitMachineImage(object as MachineImage, previous as MachineImage | undefined, context),
  columns: [
    {
      name: 'Type',
      type: 'string',
      description: 'Disk or Inspection.',
      value: (o) => (o as MachineImage).spec.type ?? 'Disk',
    },
    {
      name: 'Architecture',
      type: 'string',
      description: 'Processor that it runs on.',
      value: (o) => (o as MachineImage).spec.architecture ?? 'amd64',
    },
    {
      name: 'Format',
      type: 'string',
      description: 'Of the disk image.',
      value: (o) => {
        const { type, format = 'Raw' } = (o as MachineImage).spec;
        return type === 'Inspection' ? undefined : format;
      },
    },
    {
      name: 'Size',
      type: 'string',
      description: 'What is transferred.',
      value: (o) => mebibytes((o as MachineImage).spec.sizeBytes),
    },
    {
      name: 'Machines',
      type: 'integer',
      description: 'Machines that are to have it.',
      value: (o) => (o as MachineImage).status?.machines,
    },
    {
      name: 'Ready',
      type: 'string',
      description: 'Whether it can be used; else why not.',
      value: (o) => {
        const ready = (o as MachineImage).status?.conditions?.find((c) => c.type === 'Ready');
        return ready && (ready.status === 'True' ? 'True' : ready.reason);
      },
    },
    {
      name: 'Reference',
      type: 'string',
      description: 'Where it is.',
      priority: 1,
      value: (o) => (o as MachineImage).spec.reference,
    },
  ],
};

/** What machines were given under this name. It may be said later where it was left out. */
const fixedFields = [
  'type',
  'reference',
  'namespace',
  'architecture',
  'format',
  'digest',
  'sizeBytes',
  'diskBytes',
] as const;

function validateMachineImage(
  { spec }: MachineImage,
  previous: MachineImage | undefined,
): readonly FieldError[] {
  const errors: FieldError[] = [];
  if (parseImageReference(spec.reference)?.digest === undefined) {
    const rule = 'must name the artifact with its digest: host/namespace/name@sha256:…';
    errors.push(fieldInvalid('spec.reference', spec.reference, rule));
  }
  if ((spec.type ?? 'Disk') === 'Disk') {
    for (const field of ['digest', 'sizeBytes'] as const) {
      if (spec[field] === undefined) errors.push(fieldRequired(`spec.${field}`, 'with type Disk'));
    }
  } else {
    for (const field of ['digest', 'sizeBytes', 'diskBytes', 'format', 'userData', 'confirmation'] as const) {
      if (spec[field] !== undefined) errors.push(fieldForbidden(`spec.${field}`, 'only with type Disk'));
    }
  }
  for (const field of fixedFields) {
    const before = previous?.spec[field];
    if (before !== undefined && before !== spec[field]) {
      errors.push(fieldForbidden(`spec.${field}`, 'cannot be changed: make another MachineImage'));
    }
  }
  return errors;
}

function mebibytes(bytes: number | undefined): string | undefined {
  return bytes === undefined ? undefined : `${Math.ceil(bytes / 2 ** 20)}Mi`;
}
