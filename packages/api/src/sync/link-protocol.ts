/**
 * The service link: one WebSocket (`GET /link/v1`, opened by the agent on `SyncResponse.openLink`) whose binary messages are the bytes
 * of an HTTP/2 connection in which the hub is the client and the agent the server. Each HTTP/2 stream is one request to the site:
 * method, path with query and end-to-end headers as the user's client sent them, without its credentials. Requests that upgrade (exec, attach,
 * port-forward) are extended CONNECTs (RFC 8441) with `:protocol` the value of the `Upgrade` header in lower case (`websocket`, `spdy/3.1`); status 200
 * stands for 101, its headers are those of the 101, what follows are the raw bytes of the upgraded connection. An upgrade that the site refuses is
 * answered with the refusal's status.
 *
 * The hub says for whom it asks in these headers; agents take them from nowhere else. The agent refuses what `Site.spec.link` does not allow,
 * and asks the site's Kubernetes API with its own credentials, impersonating `selvedge:<user>` with the groups `selvedge:<group>`: names of the hub are
 * never names of the site (`system:masters` of the hub is not that of the site).
 */
export const linkProtocol = 'v1.link.selvedge.dev';

export const linkPath = '/link/v1';

/** Canonical JSON of `LinkUser`, base64url: names may be any text. */
export const linkUserHeader = 'selvedge-user';

export interface LinkUser {
  readonly name: string;
  readonly groups: readonly string[];
}

/** What every name of a hub's user or group begins with at a site. */
export const linkNamePrefix = 'selvedge:';

/** Either side closes a link that carried no stream for so long. */
export const linkIdleSeconds = 300;

/**
 * Headers of a request that go on to the site, at both ends. A list of what may pass, for nobody knows every header by which some proxy
 * before the hub, or some server at the site, takes a name for proven.
 */
export const linkRequestHeaders: ReadonlySet<string> = new Set([
  'accept',
  'accept-encoding',
  'accept-language',
  'audit-id',
  'cache-control',
  'content-encoding',
  'content-language',
  'content-length',
  'content-md5',
  'content-type',
  'if-match',
  'if-modified-since',
  'if-none-match',
  'if-range',
  'if-unmodified-since',
  'kubectl-command',
  'kubectl-session',
  'prefer',
  'range',
  'sec-websocket-extensions',
  'sec-websocket-key',
  'sec-websocket-protocol',
  'sec-websocket-version',
  'traceparent',
  'tracestate',
  'user-agent',
  'x-stream-protocol-version',
]);

/** A bearer token in the clothes of a subprotocol, as browsers send it to Kubernetes. */
const tokenProtocol = 'base64url.bearer.authorization.k8s.io.';

/** A `Sec-WebSocket-Protocol` without what is a credential; '' when nothing is left. */
export function withoutTokenProtocols(protocols: string): string {
  return protocols
    .split(',')
    .map((protocol) => protocol.trim())
    .filter((protocol) => protocol !== '' && !protocol.startsWith(tokenProtocol))
    .join(', ');
}
