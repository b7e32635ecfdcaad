import { fieldForbidden, type Lease, leases } from '@selvedge/api';
import type { JsonSchema, ResourceDefinition } from '@selvedge/apiserver';

const text = (description: string): JsonSchema => ({ type: 'string', description });
const time = (description: string): JsonSchema => ({
  type: 'string',
  format: 'date-time',
  nullable: true,
  description,
});

/** What programs that run more than once choose a leader by. As Kubernetes. */
export const leaseDefinition: ResourceDefinition = {
  ref: leases,
  singular: 'lease',
  description: 'Says which of several programs leads, and until when.',
  statusSubresource: false,
  strategicMergePatch: true,
  unconditionalUpdate: false,
  schema: {
    type: 'object',
    properties: {
      spec: {
        type: 'object',
        description: 'Who holds the lease.',
        default: {},
        properties: {
          holderIdentity: text('Who holds it.'),
          leaseDurationSeconds: {
            type: 'integer',
            format: 'int32',
            minimum: 1,
            description: 'How long others have to wait after renewTime before they take it.',
          },
          acquireTime: time('When the holder got it.'),
          renewTime: time('When the holder last renewed it.'),
          leaseTransitions: {
            type: 'integer',
            format: 'int32',
            minimum: 0,
            description: 'How often it changed hands.',
          },
          strategy: text('How a leader is chosen among those who ask.'),
          preferredHolder: text('Who should ask for it next.'),
        },
      },
    },
  },
  validate: (object) => {
    const { preferredHolder, strategy } = (object as Lease).spec ?? {};
    return preferredHolder && !strategy
      ? [fieldForbidden('spec.preferredHolder', 'may only be specified if `strategy` is defined')]
      : [];
  },
  columns: [
    {
      name: 'Holder',
      type: 'string',
      description: 'Who holds it.',
      value: (object) => (object as Lease).spec?.holderIdentity,
    },
  ],
};
