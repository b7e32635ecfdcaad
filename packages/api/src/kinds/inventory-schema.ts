import Type, { type Static } from 'typebox';
import { timeSchema } from './status-schemas.ts';

const amountsSchema = (description: string) => Type.Record(Type.String(), Type.String(), { description });

const inventoryClusterSchema = Type.Object(
  {
    kind: Type.Union([Type.Literal('kubernetes'), Type.Literal('podman')], {
      description: 'What runs the containers.',
    }),
    version: Type.String({ description: 'Its version: v1.33.2.' }),
    distribution: Type.Optional(
      Type.String({ description: 'Whose Kubernetes it is, where that can be told: k3s, eks, microk8s.' }),
    ),
    unreadable: Type.Optional(
      Type.Array(Type.Union([Type.Literal('nodes'), Type.Literal('storageClasses')]), {
        description: 'What the agent may not read there (RBAC of the site), so nothing is known of it.',
      }),
    ),
    capacity: amountsSchema('What its ready nodes have together.'),
    allocatable: amountsSchema('What of it is there for pods.'),
  },
  { description: 'The cluster as a whole.' },
);

const inventoryNodeSchema = Type.Object({
  name: Type.String({ description: 'Name of the node.' }),
  roles: Type.Array(Type.String(), { description: 'control-plane, worker, …' }),
  isReady: Type.Boolean({ description: 'Whether it can run pods.' }),
  isUnschedulable: Type.Optional(Type.Literal(true, { description: 'New pods are kept away (cordoned).' })),
  conditions: Type.Optional(
    Type.Array(
      Type.Object({
        type: Type.String({ description: 'Type of the condition.' }),
        status: Type.String({ description: 'True, False or Unknown.' }),
        reason: Type.Optional(Type.String({ description: 'Why, in CamelCase.' })),
        message: Type.Optional(Type.String({ description: 'The same for people.' })),
      }),
      { description: 'Conditions that are not as they should be.' },
    ),
  ),
  kubeletVersion: Type.Optional(Type.String({ description: 'Version of its kubelet.' })),
  os: Type.Optional(Type.String({ description: 'Its operating system.' })),
  architecture: Type.Optional(Type.String({ description: 'Its processor architecture: amd64.' })),
  nodeGroups: Type.Optional(
    Type.Array(Type.String(), { description: 'Groups of spec.nodeGroups that it belongs to.' }),
  ),
  capacity: amountsSchema('What it has.'),
  allocatable: amountsSchema('What of it is there for pods.'),
  accelerators: Type.Optional(
    Type.Array(
      Type.Object({
        resource: Type.String({ description: 'Resource by which pods ask for it: nvidia.com/gpu.' }),
        count: Type.Integer({ description: 'How many there are.' }),
        product: Type.Optional(Type.String({ description: 'What it is, where labels of the node tell it.' })),
      }),
      { description: 'Devices that do computing.' },
    ),
  ),
});

export const siteInventoryStatusSchema = Type.Object(
  {
    digest: Type.String({ description: 'Digest of all of it, also of nodes that are not shown.' }),
    observedTime: timeSchema(
      'When the site found it so. Older than the last contact: nothing has changed since.',
    ),
    cluster: Type.Optional(inventoryClusterSchema),
    nodeCount: Type.Integer({ description: 'How many nodes there are.' }),
    readyNodes: Type.Integer({ description: 'How many of them are ready.' }),
    nodes: Type.Array(inventoryNodeSchema, {
      description: 'Nodes by name; no more than 200, and fewer where much is to be said of each.',
    }),
    storageClasses: Type.Optional(
      Type.Array(
        Type.Object({
          name: Type.String({ description: 'Name of the StorageClass.' }),
          provisioner: Type.String({ description: 'What makes its volumes.' }),
          isDefault: Type.Optional(
            Type.Literal(true, { description: 'Claims that name no class get this one.' }),
          ),
        }),
        { description: 'What volumes can be made of.' },
      ),
    ),
    nodeGroups: Type.Optional(
      Type.Array(
        Type.Object({
          name: Type.String({ description: 'Name of the group.' }),
          nodes: Type.Integer({ description: 'Nodes in it.' }),
          readyNodes: Type.Integer({ description: 'Those that are ready.' }),
          allocatable: amountsSchema('What its ready nodes have for pods together.'),
          accelerators: Type.Optional(Type.Integer({ description: 'Accelerators of its ready nodes.' })),
        }),
        { description: 'The groups of spec.nodeGroups, as the site finds them.' },
      ),
    ),
  },
  { description: 'What the site is made of, as its agent reads it there.' },
);
export type SiteInventoryStatus = Static<typeof siteInventoryStatusSchema>;
