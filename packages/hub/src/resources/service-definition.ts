import type { ResourceRef } from '@selvedge/api';
import type { VirtualResourceDefinition } from '@selvedge/apiserver';
import type { ObjectStore } from '@selvedge/store';
import { once } from 'node:events';

const services: ResourceRef = {
  group: '',
  version: 'v1',
  plural: 'services',
  kind: 'Service',
  namespaced: true,
};

/**
 * Always empty: a hub runs nothing behind an address. `kubectl cluster-info` asks for services before it says where the
 * hub is.
 */
export function serviceDefinition(objects: ObjectStore): VirtualResourceDefinition {
  return {
    ref: services,
    singular: 'service',
    shortNames: ['svc'],
    description: 'There are none: a hub runs nothing behind an address. Here for clients that ask.',
    statusSubresource: false,
    schema: {
      type: 'object',
      properties: {
        spec: {
          type: 'object',
          description: 'Not used.',
          'x-kubernetes-preserve-unknown-fields': true,
        },
      },
    },
    columns: [],
    source: {
      list: async () => ({ objects: [], revision: await objects.currentRevision() }),
      find: async () => undefined,
      // oxlint-disable-next-line require-yield
      async *watch({ signal }) {
        if (!signal.aborted) await once(signal, 'abort');
      },
    },
  };
}
