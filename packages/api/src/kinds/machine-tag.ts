import Type, { type Static } from 'typebox';
import type { KubeObject, ObjectMeta, ResourceRef } from '../object-meta.ts';
import { conditionsSchema } from './status-schemas.ts';

export const machineTags: ResourceRef = {
  group: 'selvedge.dev',
  version: 'v1alpha1',
  plural: 'machinetags',
  kind: 'MachineTag',
  namespaced: false,
};

/** Prefix of the label that a Machine with the tag gets: `machine-tag.selvedge.dev/NAME: ""`. */
export const machineTagLabelPrefix = 'machine-tag.selvedge.dev/';

export const machineTagSpecSchema = Type.Object(
  {
    expression: Type.String({
      minLength: 1,
      maxLength: 2000,
      description:
        'CEL over machine (name, site, labels) and inventory (status.inventory): inventory.resources.gpu.total > 0.',
    }),
    description: Type.Optional(Type.String({ maxLength: 500, description: 'For people.' })),
  },
  { description: 'Machines whose inventory makes the expression true have the tag.' },
);
export type MachineTagSpec = Static<typeof machineTagSpecSchema>;

export const machineTagStatusSchema = Type.Object(
  {
    machines: Type.Optional(Type.Integer({ description: 'How many have it.' })),
    /** Ready: False when the expression fails on some machine. */
    conditions: Type.Optional(conditionsSchema),
  },
  { description: 'What came of it.' },
);
export type MachineTagStatus = Static<typeof machineTagStatusSchema>;

export interface MachineTag extends KubeObject {
  apiVersion: 'selvedge.dev/v1alpha1';
  kind: 'MachineTag';
  metadata: ObjectMeta;
  spec: MachineTagSpec;
  status?: MachineTagStatus;
}
