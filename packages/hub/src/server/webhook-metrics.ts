import type { MetricRegistry } from '@selvedge/apiserver';
import type { WebhookEndpoint } from '../sources/webhooks/webhook-endpoint.ts';

/** What forges told this hub. */
export function addWebhookMetrics(
  registry: MetricRegistry,
  { counts }: Pick<WebhookEndpoint, 'counts'>,
): void {
  registry.read(
    {
      name: 'selvedge_webhooks_total',
      help: 'Webhooks of forges that came to this hub: push, ping, other (events of no interest), refused.',
      type: 'counter',
      labelNames: ['result'],
    },
    () => Object.entries(counts).map(([result, count]) => [[result], count] as const),
  );
}
