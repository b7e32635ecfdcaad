import type { IncomingHttpHeaders } from 'node:http';
import type { Duplex, Readable } from 'node:stream';
import type { LinkUser } from '@selvedge/api';

/** One request to a site, as it leaves the hub. */
export interface FarCall {
  readonly site: string;
  readonly method: string;
  /** Path and query at the site. */
  readonly path: string;
  /** What `passedHeaders` left. */
  readonly headers: Readonly<Record<string, string | string[]>>;
  readonly user: LinkUser;
  readonly auditId: string;
  /** Fires when the one who asked is gone. */
  readonly signal: AbortSignal;
}

export interface FarAnswer {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  /** Fails when the way to the site is lost before its end. */
  readonly body: Readable;
}

/** The site has taken the upgrade: `headers` are those of its 101. */
export interface FarUpgrade {
  readonly headers: IncomingHttpHeaders;
  readonly socket: Duplex;
}

/** A way to a site: its link at this hub, or another hub that has it. Throws StatusError. */
export interface FarSide {
  /** @param body absent: there is none. */
  answer(call: FarCall, body: Readable | undefined): Promise<FarAnswer>;
  /** @param protocol in lower case. */
  upgrade(call: FarCall, protocol: string): Promise<FarUpgrade | FarAnswer>;
}
