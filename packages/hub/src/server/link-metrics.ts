import type { MetricRegistry } from '@selvedge/apiserver';
import type { ServiceLink } from '../link/service-link.ts';

/** What goes over the service links of this hub. */
export function addLinkMetrics(
  registry: MetricRegistry,
  { links, counts }: Pick<ServiceLink, 'links' | 'counts'>,
): void {
  const gauge = { type: 'gauge', labelNames: [] } as const;
  const counter = { type: 'counter', labelNames: [] } as const;
  registry.read(
    { name: 'selvedge_link_open', help: 'Service links that are open at this hub.', ...gauge },
    () => [[[], links.open]],
  );
  registry.read(
    {
      name: 'selvedge_link_sessions',
      help: 'Requests and upgraded connections (exec, port-forward) that are under way on the links of this hub.',
      ...gauge,
    },
    () => [[[], links.sessions]],
  );
  registry.read(
    { name: 'selvedge_link_opened_total', help: 'Service links that sites opened at this hub.', ...counter },
    () => [[[], counts.links]],
  );
  registry.read(
    {
      name: 'selvedge_link_requests_total',
      help: 'Requests that went over the links of this hub: request, or upgrade (exec, attach, port-forward).',
      type: 'counter',
      labelNames: ['kind'],
    },
    () => Object.entries(counts.sessions).map(([kind, count]) => [[kind], count] as const),
  );
  registry.read(
    {
      name: 'selvedge_link_wait_failures_total',
      help: 'Requests for a site that found no link and got none.',
      ...counter,
    },
    () => [[[], counts.failedWaits]],
  );
  registry.read(
    {
      name: 'selvedge_link_bytes_total',
      help: 'Bytes over the links of this hub, within TLS: to_site, from_site.',
      type: 'counter',
      labelNames: ['direction'],
    },
    () => {
      const { toSites, fromSites } = counts.bytes;
      return [
        [['to_site'], toSites],
        [['from_site'], fromSites],
      ];
    },
  );
}
