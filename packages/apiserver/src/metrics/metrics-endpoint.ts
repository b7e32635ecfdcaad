import type { Endpoint } from '../http/endpoint.ts';
import { send } from '../http/respond.ts';
import type { MetricRegistry } from './metric-registry.ts';

/** For Prometheus. Needs the right to `get` the path `/metrics`. */
export function metricsEndpoint(registry: MetricRegistry): Endpoint {
  return {
    method: 'GET',
    path: '/metrics',
    handle: async (_req, res) => {
      send(res, Buffer.from(await registry.text()), {
        contentType: 'text/plain; version=0.0.4; charset=utf-8',
      });
    },
  };
}
