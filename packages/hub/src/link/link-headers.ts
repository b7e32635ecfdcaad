import type { IncomingHttpHeaders, OutgoingHttpHeaders } from 'node:http';
import {
  canonicalJson,
  linkRequestHeaders,
  type LinkUser,
  linkUserHeader,
  withoutTokenProtocols,
} from '@selvedge/api';

/** The request's end-to-end headers, in its own words: nothing of them says who asks. */
export function passedHeaders(headers: IncomingHttpHeaders): Record<string, string | string[]> {
  const kept: Record<string, string | string[]> = {};
  for (const [name, value] of Object.entries(headers)) {
    if (value !== undefined && linkRequestHeaders.has(name)) kept[name] = value;
  }
  // The hub gives each request its own.
  delete kept['audit-id'];
  // The 0 of a client that sends nothing before its upgrade; what follows is no body.
  if (headers.upgrade !== undefined) delete kept['content-length'];
  const protocols = withoutTokenProtocols(headers['sec-websocket-protocol'] ?? '');
  if (protocols === '') delete kept['sec-websocket-protocol'];
  else kept['sec-websocket-protocol'] = protocols;
  return kept;
}

export function userHeader(user: LinkUser): { [linkUserHeader]: string } {
  const { name, groups } = user;
  return { [linkUserHeader]: Buffer.from(canonicalJson({ name, groups })).toString('base64url') };
}

/**
 * Headers of an answer that stay behind: those of one connection, and those by which a site could speak for the whole origin of
 * the hub (cookies, redirection of later requests, rights of other origins) or in the hub's own name.
 */
const withheld = new Set([
  'access-control-allow-credentials',
  'access-control-allow-headers',
  'access-control-allow-methods',
  'access-control-allow-origin',
  'access-control-expose-headers',
  'alt-svc',
  'audit-id',
  'clear-site-data',
  'connection',
  'content-security-policy',
  'http2-settings',
  'keep-alive',
  'proxy-authenticate',
  'proxy-authorization',
  'proxy-connection',
  'public-key-pins',
  'refresh',
  'service-worker-allowed',
  'set-cookie',
  'set-cookie2',
  'strict-transport-security',
  'te',
  'trailer',
  'transfer-encoding',
  'upgrade',
  'www-authenticate',
]);

/**
 * Clients follow a redirection with their credentials, and 307 and 308 with method and body: one that leads out of the site's paths would
 * make a person do at the hub what the site likes (CVE-2022-3172). Only plain paths go through: nothing encoded, no empty segment, no dots.
 */
function isPathWithin(location: unknown): location is string {
  if (
    typeof location !== 'string' ||
    !/^\/[\w.~!$&'()*+,=:@/-]*(\?[\w.~!$&'()*+,;=:@/?%-]*)?$/.test(location)
  )
    return false;
  const segments = location.split('?', 1)[0]?.split('/').slice(1) ?? [];
  return segments.every(
    (segment, index) => !/^\.*$/.test(segment) || (segment === '' && index === segments.length - 1),
  );
}

/** @param base where the site's `/` is at the hub, for redirections; those to elsewhere stay behind. */
export function answeredHeaders(headers: IncomingHttpHeaders, base: string): OutgoingHttpHeaders {
  const kept: OutgoingHttpHeaders = {};
  for (const [name, value] of Object.entries(headers)) {
    if (value === undefined || name.startsWith(':') || name.startsWith('selvedge-') || withheld.has(name)) {
      continue;
    }
    kept[name] = value;
  }
  const { location } = kept;
  if (location !== undefined) {
    delete kept['location'];
    if (isPathWithin(location)) kept['location'] = base + location;
  }
  // A page of the site, opened in a browser, is no page of the hub: no scripts, no forms, an origin of its own.
  kept['content-security-policy'] = 'sandbox';
  kept['x-content-type-options'] = 'nosniff';
  return kept;
}
