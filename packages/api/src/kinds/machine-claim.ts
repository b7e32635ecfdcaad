import Type, { type Static } from 'typebox';
import { eraseModes } from '../machines/rack-order.ts';
import type { KubeObject, ObjectMeta, ResourceRef } from '../object-meta.ts';
import { labelSelectorSchema } from './label-selector-schema.ts';
import { oneOf, rootDeviceHintsSchema, userDataSchema } from './machine-schemas.ts';
import { conditionsSchema, timeSchema } from './status-schemas.ts';

export const machineClaims: ResourceRef = {
  group: 'selvedge.dev',
  version: 'v1alpha1',
  plural: 'machineclaims',
  kind: 'MachineClaim',
  namespaced: false,
};

export const machineClaimSpecSchema = Type.Object(
  {
    siteName: Type.Optional(Type.String({ maxLength: 253, description: 'Only machines of this Site.' })),
    siteSelector: Type.Optional(labelSelectorSchema),
    machineSelector: Type.Optional(labelSelectorSchema),
    requirements: Type.Optional(
      Type.Object(
        {
          cores: Type.Optional(Type.Integer({ minimum: 1, description: 'At least as many CPU threads.' })),
          memory: Type.Optional(
            Type.String({ description: 'At least as much memory, as a quantity: 16Gi.' }),
          ),
          disks: Type.Optional(
            Type.Array(
              Type.Object({
                size: Type.String({ description: 'At least as large, as a quantity: 200G.' }),
                rotational: Type.Optional(Type.Boolean({ description: 'false: solid state only.' })),
              }),
              { maxItems: 20, description: 'A different disk of the machine for each.' },
            ),
          ),
          accelerators: Type.Optional(
            Type.Array(
              Type.Object({
                vendor: Type.Optional(
                  Type.String({ description: 'PCI vendor id (10de) or part of its name.' }),
                ),
                product: Type.Optional(Type.String({ description: 'PCI product id or part of its name.' })),
                count: Type.Optional(
                  Type.Integer({ minimum: 1, default: 1, description: 'At least as many.' }),
                ),
              }),
              { maxItems: 10, description: 'GPUs and the like that it must have.' },
            ),
          ),
          tags: Type.Optional(
            Type.Array(Type.String({ maxLength: 63 }), {
              maxItems: 20,
              description: 'MachineTags that it must have.',
            }),
          ),
          notTags: Type.Optional(
            Type.Array(Type.String({ maxLength: 63 }), {
              maxItems: 20,
              description: 'MachineTags that it must not have.',
            }),
          ),
          architecture: Type.Optional(oneOf(['amd64', 'arm64'] as const, 'Processor.')),
          expression: Type.Optional(
            Type.String({
              maxLength: 2000,
              description: 'CEL over machine and inventory that must be true.',
            }),
          ),
        },
        { description: 'What the machine must have. The least machine that fits is taken.' },
      ),
    ),
    machineName: Type.Optional(
      Type.String({
        maxLength: 253,
        description: 'This machine and no other. Filled in by the hub once it is chosen.',
      }),
    ),
    image: Type.Optional(
      Type.String({ maxLength: 253, description: 'MachineImage to put on it; absent: only allocate.' }),
    ),
    hostname: Type.Optional(Type.String({ maxLength: 63, description: 'Default: name of the machine.' })),
    userData: Type.Optional(userDataSchema('cloud-init user data; default that of the image.')),
    networkConfig: Type.Optional(
      Type.String({ maxLength: 16384, description: 'cloud-init network configuration, version 1 or 2.' }),
    ),
    rootDevice: Type.Optional(rootDeviceHintsSchema),
    release: Type.Optional(
      Type.Object(
        {
          erase: Type.Optional(
            oneOf(eraseModes, 'What becomes of the disks when the claim is deleted; default None.'),
          ),
          wipeConsent: Type.Optional(
            Type.String({
              maxLength: 253,
              description: 'Name of the machine whose disks may be wiped then. Needed for Quick and Secure.',
            }),
          ),
        },
        { description: 'What deleting the claim does.' },
      ),
    ),
  },
  { description: 'A machine that somebody needs.' },
);
export type MachineClaimSpec = Static<typeof machineClaimSpecSchema>;

export const machineClaimStatusSchema = Type.Object(
  {
    phase: Type.Optional(
      oneOf(
        ['Pending', 'Bound', 'Ready', 'Lost'] as const,
        'Ready: the machine has the image, if one is wanted.',
      ),
    ),
    machineName: Type.Optional(Type.String({ description: 'The machine.' })),
    boundTime: Type.Optional(timeSchema('When it was chosen.')),
    candidates: Type.Optional(Type.Integer({ description: 'Machines that would do, free or not.' })),
    /** Bound, Ready. */
    conditions: Type.Optional(conditionsSchema),
  },
  { description: 'What came of it.' },
);
export type MachineClaimStatus = Static<typeof machineClaimStatusSchema>;

export interface MachineClaim extends KubeObject {
  apiVersion: 'selvedge.dev/v1alpha1';
  kind: 'MachineClaim';
  metadata: ObjectMeta;
  spec: MachineClaimSpec;
  status?: MachineClaimStatus;
}
