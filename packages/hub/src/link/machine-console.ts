import { type Machine, machines, type ObjectClient, StatusError } from '@selvedge/api';
import type { ConnectSubresource } from '@selvedge/apiserver';

/**
 * `machines/NAME/console`: the serial console of a machine, attached to as to a pod, and `machines/NAME/console/log`: what its inspection system wrote lately. Both at the rack
 * of its site, through the link; who may ask needs no right to the site's own API.
 */
export function machineConsole(options: {
  readonly client: () => Pick<ObjectClient, 'get'>;
  readonly siteProxy: ConnectSubresource;
}): ConnectSubresource {
  return {
    connect: async (request) => {
      const [below = '', query] = request.rest.split(/\?(.*)/s, 2);
      if (below !== '' && below !== '/log') {
        throw new StatusError('NotFound', 'a machine has console and console/log, nothing else');
      }
      const { metadata, spec } = await options.client().get<Machine>(machines, { name: request.name });
      const path = `/rack/v1/machines/${metadata.uid ?? ''}/${below === '' ? 'console' : 'log'}`;
      const rest = query === undefined ? path : `${path}?${query}`;
      await options.siteProxy.connect({ ...request, name: spec.siteName, rest });
    },
  };
}
