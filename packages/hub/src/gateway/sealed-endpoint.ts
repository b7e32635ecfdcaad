import { StatusError } from '@selvedge/api';
import type { FleetStore } from '@selvedge/store';
import type { SealedValues } from '../credentials/sealed-values.ts';
import type { AgentAuthentication } from './agent-authentication.ts';
import { checkBodyHash } from './agent-jwt.ts';
import type { HttpExchange } from './http-exchange.ts';
import type { SiteDirectory } from './site-directory.ts';

export const sealedPrefix = '/content/v1/sealed/';

/** `GET /content/v1/sealed/{id}`: a value that the policy of the agent's own site lists, sealed to the agent's key. */
export class SealedEndpoint {
  readonly #o: {
    fleet: FleetStore;
    authentication: AgentAuthentication;
    sites: SiteDirectory;
    values: SealedValues;
  };

  constructor(options: {
    fleet: FleetStore;
    authentication: AgentAuthentication;
    sites: SiteDirectory;
    values: SealedValues;
  }) {
    this.#o = options;
  }

  async handle(exchange: HttpExchange): Promise<void> {
    const { fleet, authentication, sites, values } = this.#o;
    const agent = await authentication.authenticate(exchange.header('authorization'));
    checkBodyHash(agent.claims, noBytes);
    const { site, siteUid } = agent.key;
    const id = decode(exchange.path.slice(sealedPrefix.length));
    const { policy } = await fleet.siteState(site);
    const listed = policy.sealed?.find((one) => one.id === id);
    if (listed === undefined) {
      throw new StatusError('NotFound', `the desired state of site "${site}" names no ${id.slice(0, 600)}`);
    }
    // The copy in memory may be older than the key that the agent told just now.
    const { sealingKey } = (await sites.findNow(site))?.status?.agent ?? {};
    if (sealingKey === undefined) {
      throw new StatusError('Conflict', 'the agent has told no key that values could be sealed to', {
        details: { retryAfterSeconds: 5 },
      });
    }
    const body = await values.seal({ site, siteUid, sealingKey }, listed);
    exchange.answer({ code: 200, headers: { 'cache-control': 'no-store' }, body });
  }
}

const noBytes = new Uint8Array();

function decode(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return '';
  }
}
