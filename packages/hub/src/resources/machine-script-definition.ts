import {
  type FieldError,
  type MachineScript,
  machineScripts,
  machineScriptSpecSchema,
  machineScriptStatusSchema,
  validateLabelSelector,
} from '@selvedge/api';
import type { ResourceDefinition } from '@selvedge/apiserver';
import { parseScript } from '../machines/parse-script.ts';

export const machineScriptDefinition: ResourceDefinition = {
  ref: machineScripts,
  singular: 'machinescript',
  shortNames: ['mscript'],
  categories: ['selvedge'],
  description: 'A commissioning or test script: runs as root on machines while they are inspected.',
  statusSubresource: true,
  schema: {
    type: 'object',
    required: ['spec'],
    properties: { spec: machineScriptSpecSchema, status: machineScriptStatusSchema },
  },
  validate: (object) => validateMachineScript(object as MachineScript),
  columns: [
    {
      name: 'Title',
      type: 'string',
      description: 'Of its header.',
      value: (o) => (o as MachineScript).status?.title,
    },
    {
      name: 'Type',
      type: 'string',
      description: 'Commissioning or Testing.',
      value: (o) => (o as MachineScript).status?.type,
    },
    {
      name: 'Timeout',
      type: 'integer',
      description: 'How long it may run, seconds.',
      value: (o) => (o as MachineScript).status?.timeoutSeconds,
    },
    {
      name: 'Ready',
      type: 'string',
      description: 'Whether sites can have it.',
      value: (o) => (o as MachineScript).status?.conditions?.find((c) => c.type === 'Ready')?.status,
    },
  ],
};

function validateMachineScript({ metadata, spec }: MachineScript): FieldError[] {
  const parsed = parseScript(spec.script, metadata.name);
  return [
    ...('errors' in parsed ? parsed.errors : []),
    ...(spec.siteSelector === undefined ? [] : validateLabelSelector(spec.siteSelector, 'spec.siteSelector')),
  ];
}
