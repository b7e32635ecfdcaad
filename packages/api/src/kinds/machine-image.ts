import Type, { type Static } from 'typebox';
import { bootModes, diskImageFormats } from '../machines/rack-order.ts';
import type { KubeObject, ObjectMeta, ResourceRef } from '../object-meta.ts';
import { oneOf, userDataSchema } from './machine-schemas.ts';
import { conditionsSchema } from './status-schemas.ts';

export const machineImages: ResourceRef = {
  group: 'selvedge.dev',
  version: 'v1alpha1',
  plural: 'machineimages',
  kind: 'MachineImage',
  namespaced: false,
};

export const machineImageSpecSchema = Type.Object(
  {
    type: Type.Optional(
      oneOf(
        ['Disk', 'Inspection'] as const,
        'Disk (the default): written to a disk. Inspection: the system that machines are inspected, written and erased with.',
      ),
    ),
    reference: Type.String({
      minLength: 1,
      maxLength: 500,
      description:
        'OCI artifact in the registry of the hub or another one, with digest: host/namespace/name@sha256:…; selvedge machine-image push makes it.',
    }),
    namespace: Type.Optional(
      Type.String({
        maxLength: 253,
        default: 'default',
        description:
          'Namespace whose RegistryCredentials open the registry, and whose part of the hub registry it is in.',
      }),
    ),
    architecture: Type.Optional(
      oneOf(['amd64', 'arm64'] as const, 'Processor that it runs on; default amd64.'),
    ),
    bootModes: Type.Optional(
      Type.Array(oneOf(bootModes, 'Firmware that it can boot with.'), {
        minItems: 1,
        description: 'Default: both.',
        'x-kubernetes-list-type': 'set',
      }),
    ),
    format: Type.Optional(
      oneOf(
        diskImageFormats,
        'Of the disk image once decompressed (gzip, zstd and xz are known by their first bytes).',
      ),
    ),
    digest: Type.Optional(
      Type.String({
        pattern: '^sha256:[0-9a-f]{64}$',
        description: 'Digest of the layer that is the disk image. Needed with type Disk.',
      }),
    ),
    sizeBytes: Type.Optional(Type.Integer({ minimum: 1, description: 'Of that layer.' })),
    diskBytes: Type.Optional(Type.Integer({ minimum: 1, description: 'Of the disk that it becomes.' })),
    confirmation: Type.Optional(
      oneOf(
        ['CloudInit', 'Boot'] as const,
        'CloudInit (the default): the installed system says that it runs. Boot: it counts once it boots from its disk.',
      ),
    ),
    userData: Type.Optional(userDataSchema('Default cloud-init user data.')),
    description: Type.Optional(Type.String({ maxLength: 500, description: 'For people.' })),
  },
  { description: 'What can be put on a machine.' },
);
export type MachineImageSpec = Static<typeof machineImageSpecSchema>;

export const machineImageStatusSchema = Type.Object(
  {
    machines: Type.Optional(Type.Integer({ description: 'Machines that are to have it.' })),
    /** Ready. */
    conditions: Type.Optional(conditionsSchema),
  },
  { description: 'Whether it can be used.' },
);
export type MachineImageStatus = Static<typeof machineImageStatusSchema>;

export interface MachineImage extends KubeObject {
  apiVersion: 'selvedge.dev/v1alpha1';
  kind: 'MachineImage';
  metadata: ObjectMeta;
  spec: MachineImageSpec;
  status?: MachineImageStatus;
}
