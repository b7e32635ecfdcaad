import {
  type FieldError,
  fieldForbidden,
  fieldInvalid,
  type MachineClaim,
  machineClaims,
  machineClaimSpecSchema,
  machineClaimStatusSchema,
  quantityToNumber,
  validateLabelSelector,
} from '@selvedge/api';
import type { ResourceDefinition } from '@selvedge/apiserver';
import { admitMachineClaim } from './machine-admission.ts';
import { validateExpression } from './validate-expression.ts';
import { validateProvision } from './validate-machine.ts';

export const machineClaimDefinition: ResourceDefinition = {
  ref: machineClaims,
  singular: 'machineclaim',
  shortNames: ['mc'],
  categories: ['selvedge'],
  description:
    'A machine that somebody needs: the hub chooses the least that fits, puts the image on it, and releases it when the claim is deleted.',
  statusSubresource: true,
  schema: {
    type: 'object',
    required: ['spec'],
    properties: { spec: machineClaimSpecSchema, status: machineClaimStatusSchema },
  },
  validate: (object, previous) =>
    validateMachineClaim(object as MachineClaim, previous as MachineClaim | undefined),
  admit: async (object, previous, context) =>
    admitMachineClaim(object as MachineClaim, previous as MachineClaim | undefined, context),
  columns: [
    {
      name: 'Phase',
      type: 'string',
      description: 'Pending, Bound, Ready or Lost.',
      value: (o) => (o as MachineClaim).status?.phase,
    },
    {
      name: 'Machine',
      type: 'string',
      description: 'The machine.',
      value: (o) => (o as MachineClaim).status?.machineName,
    },
    {
      name: 'Image',
      type: 'string',
      description: 'What is to be on it.',
      value: (o) => (o as MachineClaim).spec.image,
    },
    {
      name: 'Site',
      type: 'string',
      description: 'Only machines of this Site.',
      priority: 1,
      value: (o) => (o as MachineClaim).spec.siteName,
    },
    {
      name: 'Candidates',
      type: 'integer',
      description: 'Machines that would do, free or not.',
      priority: 1,
      value: (o) => (o as MachineClaim).status?.candidates,
    },
  ],
};

function validateMachineClaim(
  { spec, status }: MachineClaim,
  previous: MachineClaim | undefined,
): FieldError[] {
  const { siteSelector, machineSelector, requirements, release } = spec;
  const errors: FieldError[] = [];
  for (const [path, selector] of Object.entries({
    'spec.siteSelector': siteSelector,
    'spec.machineSelector': machineSelector,
  })) {
    if (selector !== undefined) errors.push(...validateLabelSelector(selector, path));
  }
  errors.push(...validateSize(requirements?.memory, 'spec.requirements.memory'));
  for (const [index, { size }] of (requirements?.disks ?? []).entries()) {
    errors.push(...validateSize(size, `spec.requirements.disks[${index}].size`));
  }
  errors.push(...validateExpression(requirements?.expression, 'spec.requirements.expression'));
  errors.push(...validateProvision(spec, previous?.spec, 'spec'));
  const chosen = (previous?.status ?? status)?.machineName ?? spec.machineName;
  const before = previous?.spec.machineName;
  if (before !== undefined && spec.machineName !== before && previous?.status?.machineName !== undefined) {
    errors.push(
      fieldForbidden('spec.machineName', 'cannot be changed once the machine is chosen: make another claim'),
    );
  }
  const consent = release?.wipeConsent;
  if (consent !== undefined && consent !== previous?.spec.release?.wipeConsent && consent !== chosen) {
    const rule =
      chosen === undefined
        ? 'no machine is chosen yet: give spec.machineName, or consent once status.machineName says which it is'
        : `must be the name of the machine of this claim, "${chosen}"`;
    errors.push(fieldInvalid('spec.release.wipeConsent', consent, rule));
  }
  return errors;
}

function validateSize(value: string | undefined, path: string): FieldError[] {
  if (value === undefined) return [];
  const bytes = quantityToNumber(value);
  if (bytes !== undefined && bytes >= 1) return [];
  return [fieldInvalid(path, value, 'must be a quantity of bytes, as in 16Gi or 200G')];
}
