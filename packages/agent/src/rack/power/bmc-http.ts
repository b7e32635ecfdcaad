import { Agent as HttpAgent, type IncomingMessage, request as requestHttp } from 'node:http';
import { Agent as HttpsAgent, request as requestHttps } from 'node:https';
import { X509Certificate } from 'node:crypto';
import { checkServerIdentity } from 'node:tls';
import { type BmcOrder, isObject, type JsonObject, printable } from '@selvedge/api';
import type { BmcHosts } from './bmc-hosts.ts';
import { PowerError } from './power-driver.ts';

export interface BmcRequest {
  readonly method: 'GET' | 'POST' | 'PATCH' | 'DELETE';
  readonly url: URL;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: object;
  readonly signal: AbortSignal;
}

export interface BmcAnswer {
  readonly status: number;
  readonly headers: IncomingMessage['headers'];
  /** Empty when the body was none or no JSON object. */
  readonly body: JsonObject;
  /** false: there was a body, and it was no JSON object. */
  readonly isJson: boolean;
}

const mostBytes = 4 * 1024 * 1024;
/** Some take half a minute for one answer. */
const defaultTimeoutMs = 40_000;

/** HTTP and HTTPS to a BMC, one connection at a time; every wait has an end. Knows nothing of Redfish. */
export class BmcHttp {
  readonly #plain = new HttpAgent({ keepAlive: true, maxSockets: 1 });
  readonly #secure: HttpsAgent;
  readonly #trust: ReturnType<typeof trustOf>;
  readonly #hosts: BmcHosts | undefined;
  readonly #timeoutMs: number;

  /**
   * @param hosts which may be called; undefined: any.
   * @param timeoutMs for one call as a whole.
   */
  constructor(
    bmc: Pick<BmcOrder, 'caCertificate' | 'insecureSkipVerify'>,
    hosts?: BmcHosts,
    timeoutMs = defaultTimeoutMs,
  ) {
    this.#hosts = hosts;
    this.#timeoutMs = timeoutMs;
    this.#trust = trustOf(bmc);
    this.#secure = new HttpsAgent({ keepAlive: true, maxSockets: 1, maxCachedSessions: 0, ...this.#trust });
  }

  /** An answer of any status. Throws PowerError Unavailable, or the signal's reason. */
  async request(request: BmcRequest): Promise<BmcAnswer> {
    this.#hosts?.check(request.url.hostname);
    const deadline = AbortSignal.timeout(this.#timeoutMs);
    const bounded = { ...request, signal: AbortSignal.any([request.signal, deadline]) };
    try {
      const incoming = await this.#open(bounded);
      return { status: incoming.statusCode ?? 0, headers: incoming.headers, ...(await readJson(incoming)) };
    } catch (error) {
      request.signal.throwIfAborted();
      if (error instanceof PowerError) throw error;
      const silence = deadline.aborted ? this.#timeoutMs : undefined;
      throw unavailable(request.url, error as NodeJS.ErrnoException, silence);
    }
  }

  async #open(request: BmcRequest): Promise<IncomingMessage> {
    try {
      return await this.#start(request);
    } catch (error) {
      if (!(error instanceof ClosedMeanwhile)) throw error;
      return this.#start(request);
    }
  }

  /** POST never goes over a kept connection: one that the BMC just closed would leave open whether the machine was switched. */
  #start({ method, url, headers = {}, body, signal }: BmcRequest): Promise<IncomingMessage> {
    const { promise, resolve, reject } = Promise.withResolvers<IncomingMessage>();
    const isSecure = url.protocol === 'https:';
    const text = body === undefined ? undefined : JSON.stringify(body);
    const content =
      text === undefined
        ? {}
        : { 'content-type': 'application/json', 'content-length': String(Buffer.byteLength(text)) };
    const outgoing = (isSecure ? requestHttps : requestHttp)(url, {
      method,
      ...(method === 'POST'
        ? { agent: false, ...(isSecure ? this.#trust : {}) }
        : { agent: isSecure ? this.#secure : this.#plain }),
      headers: { accept: 'application/json', 'odata-version': '4.0', ...content, ...headers },
      ...(this.#hosts ? { lookup: this.#hosts.lookup } : {}),
      signal,
    });
    outgoing.on('error', (error: NodeJS.ErrnoException) => {
      const isStale = outgoing.reusedSocket && error.code === 'ECONNRESET';
      reject(isStale ? new ClosedMeanwhile(error.message, { cause: error }) : error);
    });
    outgoing.once('response', resolve);
    outgoing.end(text);
    return promise;
  }

  /** Ends what is kept open. Can be used again. */
  close(): void {
    this.#plain.destroy();
    this.#secure.destroy();
  }
}

/**
 * A certificate that was given to trust is trusted by itself too: those of BMCs seldom name the address. Who skips the proof altogether may also have a BMC that
 * speaks only what is long out of use.
 */
function trustOf({
  caCertificate,
  insecureSkipVerify,
}: Pick<BmcOrder, 'caCertificate' | 'insecureSkipVerify'>) {
  if (insecureSkipVerify === true)
    return { rejectUnauthorized: false, minVersion: 'TLSv1' as const, ciphers: 'DEFAULT@SECLEVEL=0' };
  if (caCertificate === undefined) return {};
  const pinned = new Set(
    (caCertificate.match(/-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g) ?? []).map(
      fingerprintOf,
    ),
  );
  return {
    ca: caCertificate,
    checkServerIdentity: (host: string, certificate: Parameters<typeof checkServerIdentity>[1]) =>
      pinned.has(certificate.fingerprint256) ? undefined : checkServerIdentity(host, certificate),
  };
}

function fingerprintOf(pem: string): string {
  try {
    return new X509Certificate(pem).fingerprint256;
  } catch (error) {
    throw new PowerError('Invalid', 'spec.bmc.caCertificate is no certificate in PEM', {
      isPassing: false,
      cause: error,
    });
  }
}

async function readJson(incoming: IncomingMessage): Promise<{ body: JsonObject; isJson: boolean }> {
  const chunks: Buffer[] = [];
  let size = 0;
  for await (const chunk of incoming as AsyncIterable<Buffer>) {
    size += chunk.length;
    if (size > mostBytes) {
      incoming.destroy();
      throw new PowerError('Unavailable', 'The BMC answered with more than 4 MiB; is the address right?', {
        isPassing: true,
      });
    }
    chunks.push(chunk);
  }
  const text = Buffer.concat(chunks).toString().trim();
  if (text === '') return { body: {}, isJson: true };
  try {
    const value: unknown = JSON.parse(text);
    return isObject(value) ? { body: value, isJson: true } : { body: {}, isJson: false };
  } catch {
    return { body: {}, isJson: false };
  }
}

/** A kept connection that the BMC had ended before it read the request. */
class ClosedMeanwhile extends Error {
  override readonly name = 'ClosedMeanwhile';
}

/** @param silenceMs it said nothing for so long. */
function unavailable(url: URL, error: NodeJS.ErrnoException, silenceMs: number | undefined): PowerError {
  const code = error.code ?? '';
  const isTrust = silenceMs === undefined && /CERT|SELF_SIGNED|UNABLE_TO|ALTNAME/.test(code);
  const why =
    silenceMs !== undefined
      ? `did not answer within ${Math.ceil(silenceMs / 1_000)} s`
      : isTrust
        ? `has a certificate that is not trusted (${code}): set spec.bmc.caCertificate, or insecureSkipVerify`
        : `cannot be reached (${printable(code || error.message).slice(0, 200)})`;
  return new PowerError('Unavailable', `${url.host} ${why}`, { isPassing: !isTrust, cause: error });
}
