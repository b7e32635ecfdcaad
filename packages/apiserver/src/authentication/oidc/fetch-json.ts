import { request } from 'node:https';
import { getCACertificates, rootCertificates } from 'node:tls';

const maxBytes = 1024 * 1024;
const timeoutMilliseconds = 10_000;

/**
 * GETs a JSON document over HTTPS. Trusts `authority` (PEM), or those of Node and of the machine. Follows no redirect.
 * Rejects with a message for the log.
 */
export function fetchJson(
  url: string,
  options: { authority?: string; signal: AbortSignal },
): Promise<unknown> {
  const ca = options.authority ?? defaultAuthorities();
  const signal = AbortSignal.any([options.signal, AbortSignal.timeout(timeoutMilliseconds)]);
  return new Promise((resolve, reject) => {
    const fail = (error: Error) => reject(new Error(`GET ${url}: ${describe(error)}`, { cause: error }));
    const headers = { accept: 'application/json' };
    request(url, { ca, agent: false, headers, signal }, (res) => {
      if (res.statusCode !== 200) {
        res.destroy();
        fail(new Error(`it answered ${res.statusCode}`));
        return;
      }
      const chunks: Buffer[] = [];
      let bytes = 0;
      res.on('data', (chunk: Buffer) => {
        bytes += chunk.length;
        if (bytes > maxBytes) res.destroy(new Error(`it answered more than ${maxBytes} bytes`));
        else chunks.push(chunk);
      });
      res.on('error', fail);
      res.on('end', () => {
        try {
          resolve(JSON.parse(Buffer.concat(chunks).toString('utf8')));
        } catch (error) {
          fail(new Error('it answered something that is not JSON', { cause: error }));
        }
      });
    })
      .on('error', fail)
      .end();
  });
}

function describe(error: Error): string {
  if (error.name === 'TimeoutError') return `no answer within ${timeoutMilliseconds / 1000} s`;
  return error.message;
}

let authorities: string[] | undefined;

/** Read once: the machine's file is large. */
function defaultAuthorities(): string[] {
  authorities ??= [...rootCertificates, ...getCACertificates('system'), ...getCACertificates('extra')];
  return authorities;
}
