import type { IncomingHttpHeaders } from 'node:http';
import type { Duplex, Readable } from 'node:stream';
import type { LinkUser } from '@selvedge/api';

/** One request that came over the service link, allowed by the site's policy. */
export interface LinkCall {
  readonly method: string;
  /** With the query. */
  readonly path: string;
  /** End to end only: no `connection`, `upgrade`, `host`; no credentials, nothing that impersonates. */
  readonly headers: IncomingHttpHeaders;
  readonly user: LinkUser;
  /** Fires when the one who asked is gone. */
  readonly signal: AbortSignal;
}

export interface LinkAnswer {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  readonly body: Readable;
}

/** The upgraded connection: `headers` are those of the 101. */
export interface LinkUpgrade {
  readonly headers: IncomingHttpHeaders;
  readonly socket: Duplex;
}

/** What the service link leads to at this site. Throws StatusError; anything else is answered as an internal error. */
export interface LinkDoor {
  answer(call: LinkCall, body: Readable): Promise<LinkAnswer>;
  /** `protocol`: `websocket` or `spdy/3.1`. */
  upgrade(call: LinkCall, protocol: string): Promise<LinkUpgrade | LinkAnswer>;
}
