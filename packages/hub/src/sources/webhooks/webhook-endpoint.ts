import {
  type Application,
  applications,
  type Clock,
  faultOfDnsLabel,
  faultOfDnsSubdomain,
  type GitSource,
  type Logger,
  type ObjectClient,
  type Secret,
  secrets,
  StatusError,
} from '@selvedge/api';
import { HttpExchange, type HttpRequest, type HttpResponse } from '../../gateway/http-exchange.ts';
import { isSameRepository } from '../git/git-address.ts';
import { isSignedBy } from './forge-signature.ts';
import { concerns, type ForgeEvent, readForgeEvent } from './push-event.ts';
import { RefreshWakes } from './refresh-wakes.ts';
import { SenderAllowance } from './sender-allowance.ts';

export interface WebhookEndpointOptions {
  readonly client: Pick<ObjectClient, 'find' | 'list' | 'mergePatch'>;
  readonly clock: Clock;
  readonly logger: Logger;
}

const prefix = '/webhooks/v1/';
/** A push of very many commits; what is longer is seen when the source is looked at by itself. */
const bodyLimitBytes = 4 * 1024 ** 2;
const bodySeconds = 15;

/**
 * `POST /webhooks/v1/NAMESPACE/NAME`: a forge says that something moved. It is believed when it knows the token of the Application, and all
 * that it can do is make the source be looked at sooner; so a delivery that is sent again does no harm. Whoever does not know the token
 * learns nothing, not even which applications there are.
 */
export class WebhookEndpoint {
  readonly counts: Record<ForgeEvent['kind'] | 'refused', number> = {
    push: 0,
    ping: 0,
    other: 0,
    refused: 0,
  };
  readonly #o: WebhookEndpointOptions;
  readonly #log: Logger;
  readonly #allowance: SenderAllowance;
  readonly #wakes: RefreshWakes;
  readonly #stop = new AbortController();

  constructor(options: WebhookEndpointOptions) {
    this.#o = options;
    this.#log = options.logger.child({ component: 'webhooks' });
    this.#allowance = new SenderAllowance(options.clock);
    this.#wakes = new RefreshWakes({ ...options, logger: this.#log, signal: this.#stop.signal });
  }

  owns(path: string): boolean {
    return path.startsWith(prefix);
  }

  /** Answers a request; never throws. */
  async handle(request: HttpRequest, response: HttpResponse): Promise<void> {
    const exchange = new HttpExchange(request, response, { clock: this.#o.clock, logger: this.#log });
    try {
      const place = this.#allowance.enter(request.socket?.remoteAddress ?? '');
      try {
        await this.#answer(exchange);
      } finally {
        place.leave();
      }
    } catch (error) {
      this.counts.refused += 1;
      exchange.refuse(error);
    }
  }

  /** Writes what is to be written, and ends. */
  async close(): Promise<void> {
    this.#stop.abort();
    await this.#wakes.idle();
  }

  async #answer(exchange: HttpExchange): Promise<void> {
    if (exchange.method !== 'POST') {
      throw new StatusError('MethodNotAllowed', `webhooks are sent by POST, not ${exchange.method}`);
    }
    const body = await exchange.readBody(bodyLimitBytes, bodySeconds);
    const header = (name: string) => exchange.header(name);
    const { application, token } = await this.#find(exchange.path);
    // Reckoned for a missing application too, so that the time taken tells nothing.
    const isSigned = isSignedBy(token ?? 'missing', { header, body, now: this.#o.clock.now() });
    const source = application && gitSourceOf(application);
    if (application === undefined || source === undefined || token === undefined || !isSigned) {
      throw new StatusError(
        'Forbidden',
        'there is no such webhook, or this was not signed with its token: compare the secret of the webhook with key "token" of the Secret that spec.source.git.webhook names',
      );
    }
    const event = readForgeEvent(header, body);
    this.counts[event.kind] += 1;
    const woken = event.kind === 'push' ? await this.#wake(application, { source, event }) : 0;
    const { namespace, name } = application.metadata;
    this.#log.info('webhook received', { object: `${namespace}/${name}`, event: event.kind, woken });
    exchange.answer({ code: event.kind === 'push' ? 202 : 200, body: { event: event.kind, woken } });
  }

  /** All that can be found out before the signature is checked; every request takes the same two reads. */
  async #find(path: string): Promise<{ application: Application | undefined; token: string | undefined }> {
    const { client } = this.#o;
    const [namespace = '', name = '', ...rest] = path.slice(prefix.length).split('/');
    const isName =
      rest.length === 0 &&
      faultOfDnsLabel(namespace) === undefined &&
      faultOfDnsSubdomain(name) === undefined;
    const at = isName ? { namespace, name } : { namespace: 'default', name: 'no-such-application' };
    const application = await client.find<Application>(applications, at);
    const secretName = application && gitSourceOf(application)?.webhook?.secretRef.name;
    const secret = await client.find<Secret>(secrets, {
      namespace: at.namespace,
      name: secretName ?? 'no-such-secret',
    });
    const encoded = secretName === undefined ? undefined : secret?.data?.['token'];
    const token =
      encoded === undefined
        ? ''
        : Buffer.from(encoded, 'base64')
            .toString('utf8')
            .replace(/\r?\n$/, '');
    return { application, token: token === '' ? undefined : token };
  }

  /** Wakes every application of the namespace that reads the same repository: forges allow few webhooks for one. */
  async #wake(
    named: Application,
    { source, event }: { source: GitSource; event: ForgeEvent },
  ): Promise<number> {
    const { namespace } = named.metadata;
    const { items } = await this.#o.client.list<Application>(
      applications,
      namespace === undefined ? {} : { namespace },
    );
    const concerned = items.filter((application) => {
      const other = gitSourceOf(application);
      return other !== undefined && isSameRepository(other.url, source.url) && concerns(other, event);
    });
    const time = this.#o.clock.now().toISOString();
    for (const application of concerned) this.#wakes.wake(application, time);
    return concerned.length;
  }
}

function gitSourceOf({ spec }: Application): GitSource | undefined {
  return spec.source.git ?? spec.source.helm?.git;
}
