import Type, { type Static } from 'typebox';
import type { KubeObject, ObjectMeta, ResourceRef } from '../object-meta.ts';
import { labelSelectorSchema } from './label-selector-schema.ts';
import { conditionsSchema } from './status-schemas.ts';

export const machineScripts: ResourceRef = {
  group: 'selvedge.dev',
  version: 'v1alpha1',
  plural: 'machinescripts',
  kind: 'MachineScript',
  namespaced: false,
};

export const machineScriptSpecSchema = Type.Object(
  {
    script: Type.String({
      minLength: 1,
      maxLength: 65536,
      description:
        'Shell script that runs while a machine is inspected; its header (--- Start MAAS 1.0 script metadata ---) says how.',
    }),
    siteSelector: Type.Optional(labelSelectorSchema),
  },
  { description: 'A commissioning or test script.' },
);
export type MachineScriptSpec = Static<typeof machineScriptSpecSchema>;

export const machineScriptStatusSchema = Type.Object(
  {
    title: Type.Optional(Type.String({ description: 'Of its header.' })),
    type: Type.Optional(Type.String({ description: 'Commissioning or Testing.' })),
    timeoutSeconds: Type.Optional(Type.Integer({ description: 'How long it may run.' })),
    digest: Type.Optional(Type.String({ description: 'Digest of the text.' })),
    /** Ready. */
    conditions: Type.Optional(conditionsSchema),
  },
  { description: 'What its header says.' },
);
export type MachineScriptStatus = Static<typeof machineScriptStatusSchema>;

export interface MachineScript extends KubeObject {
  apiVersion: 'selvedge.dev/v1alpha1';
  kind: 'MachineScript';
  metadata: ObjectMeta;
  spec: MachineScriptSpec;
  status?: MachineScriptStatus;
}
