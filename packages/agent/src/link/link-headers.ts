import type { IncomingHttpHeaders } from 'node:http';
import {
  linkRequestHeaders,
  linkUserHeader,
  type LinkUser,
  StatusError,
  withoutTokenProtocols,
} from '@selvedge/api';

/** What of the client's headers goes on to the site: nothing that says who asks. */
export function passedHeaders(headers: IncomingHttpHeaders): IncomingHttpHeaders {
  const kept: IncomingHttpHeaders = {};
  for (const [name, value] of Object.entries(headers)) {
    if (value === undefined || !linkRequestHeaders.has(name)) continue;
    kept[name] = value;
  }
  const protocols = kept['sec-websocket-protocol'];
  if (protocols === undefined) return kept;
  const others = withoutTokenProtocols(protocols);
  if (others === '') delete kept['sec-websocket-protocol'];
  else kept['sec-websocket-protocol'] = others;
  return kept;
}

/** Of one connection, not of what is answered; HTTP/2 has none of them. */
const hopByHop = new Set([
  'connection',
  'http2-settings',
  'keep-alive',
  'proxy-authenticate',
  'proxy-authorization',
  'proxy-connection',
  'te',
  'trailer',
  'transfer-encoding',
  'upgrade',
]);

/** The site's answer as it goes to the hub. A cookie of the site would be one of the hub's in the client's eyes. */
export function answeredHeaders(headers: IncomingHttpHeaders): IncomingHttpHeaders {
  const named = String(headers.connection ?? '')
    .toLowerCase()
    .split(',')
    .map((name) => name.trim());
  return Object.fromEntries(
    Object.entries(headers).filter(
      ([name]) =>
        !hopByHop.has(name) && !named.includes(name) && name !== 'set-cookie' && !name.startsWith(':'),
    ),
  );
}

const longestName = 1024;
const mostGroups = 256;

/**
 * For whom the hub asks. Throws BadRequest for a name that would be another one once it stands in a header: with control characters, or
 * with spaces at its ends.
 */
export function readLinkUser(headers: IncomingHttpHeaders): LinkUser {
  const text = headers[linkUserHeader];
  let user: Partial<LinkUser> | null = null;
  try {
    if (typeof text === 'string') {
      user = JSON.parse(Buffer.from(text, 'base64url').toString('utf8')) as Partial<LinkUser> | null;
    }
  } catch {
    // Answered below.
  }
  const { name, groups } = user ?? {};
  if (!isName(name) || !Array.isArray(groups) || !groups.every(isName) || groups.length > mostGroups) {
    throw new StatusError(
      'BadRequest',
      `the link says not for whom it asks, or the name cannot be passed on (no control characters, no spaces at its ends, ${longestName} characters and ${mostGroups} groups at most)`,
    );
  }
  return { name, groups };
}

function isName(value: unknown): value is string {
  return (
    typeof value === 'string' &&
    value !== '' &&
    value.length <= longestName &&
    value.trim() === value &&
    value.isWellFormed() &&
    // oxlint-disable-next-line no-control-regex
    !/[\x00-\x1f\x7f]/.test(value)
  );
}
