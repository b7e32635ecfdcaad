import type { Clock, Logger } from '@selvedge/api';
import type { HubIdentity } from '../identity/hub-identity.ts';

const checkMilliseconds = 12 * 3_600_000;

/** Keeps the listener's certificate fresh while the hub runs, for months if need be. Never rejects. */
export async function renewPeriodically(options: {
  identity: Pick<HubIdentity, 'serverCertificate'>;
  names: readonly string[];
  listener: { setTls(tls: { key: string; cert: string }): void };
  clock: Clock;
  logger: Logger;
  random: () => number;
  signal: AbortSignal;
}): Promise<void> {
  const { clock, random, signal } = options;
  let inUse: string | undefined;
  for (;;) {
    await clock.sleep(checkMilliseconds * (0.9 + 0.2 * random()), signal);
    if (signal.aborted) return;
    try {
      const { key, certificate } = await options.identity.serverCertificate(options.names);
      if (certificate !== inUse) options.listener.setTls({ key, cert: certificate });
      inUse = certificate;
    } catch (error) {
      options.logger.error('server certificate not renewed', { component: 'identity', error });
    }
  }
}
