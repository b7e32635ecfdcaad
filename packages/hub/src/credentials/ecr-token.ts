import type { Clock, RegistryCredentialSpec } from '@selvedge/api';
import { unusable } from './login-secret.ts';

/** An AWS identity, as its environment variables have it. */
export interface AwsKeys {
  readonly accessKeyId: string;
  readonly secretAccessKey: string;
  readonly sessionToken?: string;
}

export interface EcrToken {
  readonly username: string;
  readonly password: string;
  /** RFC 3339. */
  readonly expiresAt: string;
}

const timeoutMilliseconds = 15_000;
const maxAnswerBytes = 100_000;

/** Address of the ECR API of a region, if the spec names none. */
export function ecrEndpoint({ region, endpoint }: NonNullable<RegistryCredentialSpec['ecr']>): URL {
  const domain = region.startsWith('cn-') ? 'amazonaws.com.cn' : 'amazonaws.com';
  return new URL(endpoint ?? `https://api.ecr.${region}.${domain}/`);
}

/**
 * Asks ECR for a token (`GetAuthorizationToken`, SigV4); it opens all repositories that the identity may read, for twelve hours.
 * Throws `StatusError` with what ECR said; never with a part of a key or a token.
 */
export async function askEcr(
  ecr: NonNullable<RegistryCredentialSpec['ecr']>,
  keys: AwsKeys,
  { clock, signal }: { clock: Clock; signal: AbortSignal },
): Promise<EcrToken> {
  const { AwsV4Signer } = await import('aws4fetch');
  const url = ecrEndpoint(ecr);
  const signed = await new AwsV4Signer({
    ...keys,
    method: 'POST',
    url: url.href,
    service: 'ecr',
    region: ecr.region,
    headers: {
      'content-type': 'application/x-amz-json-1.1',
      'x-amz-target': 'AmazonEC2ContainerRegistry_V20150921.GetAuthorizationToken',
    },
    body: '{}',
    datetime: clock
      .now()
      .toISOString()
      .replaceAll(/[:-]|\.\d{3}/g, ''),
  }).sign();
  const answer = await ask(url, signed, signal);
  const token = readToken(answer.body);
  if (token !== undefined && answer.status === 200) return token;
  const { __type: type = '', message = '' } = answer.body as { __type?: string; message?: string };
  const reason = `${String(type).split('#').at(-1)} ${String(message)}`.trim().slice(0, 300);
  throw unusable(
    `ECR at ${url.host} gave no token (${answer.status}): ${reason === '' ? 'no reason' : reason}`,
  );
}

async function ask(
  url: URL,
  signed: { method: string; url: URL; headers: Headers; body?: unknown },
  signal: AbortSignal,
): Promise<{ status: number; body: object }> {
  try {
    const response = await fetch(signed.url, {
      method: signed.method,
      headers: signed.headers,
      body: '{}',
      redirect: 'error',
      signal: AbortSignal.any([signal, AbortSignal.timeout(timeoutMilliseconds)]),
    });
    const body: unknown = parse(await readLimited(response));
    return { status: response.status, body: typeof body === 'object' && body !== null ? body : {} };
  } catch (error) {
    signal.throwIfAborted();
    const { cause } = error as { cause?: unknown };
    const reason = cause instanceof Error ? cause.message : (error as Error).message;
    throw unusable(`ECR at ${url.host} cannot be asked: ${reason}`);
  }
}

async function readLimited(response: Response): Promise<string> {
  const chunks: Uint8Array[] = [];
  let length = 0;
  for await (const chunk of response.body ?? []) {
    length += chunk.length;
    if (length > maxAnswerBytes) throw new Error(`it answered more than ${maxAnswerBytes} bytes`);
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString('utf8');
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text) as unknown;
  } catch {
    return undefined;
  }
}

function readToken(body: object): EcrToken | undefined {
  const { authorizationData: data } = body as { authorizationData?: unknown };
  const [first] = Array.isArray(data)
    ? (data as { authorizationToken?: unknown; expiresAt?: unknown }[])
    : [];
  const { authorizationToken, expiresAt } = first ?? {};
  if (typeof authorizationToken !== 'string' || typeof expiresAt !== 'number') return undefined;
  const text = Buffer.from(authorizationToken, 'base64').toString('utf8');
  const colon = text.indexOf(':');
  const time = new Date(expiresAt * 1000);
  if (colon < 1 || Number.isNaN(time.getTime())) return undefined;
  return { username: text.slice(0, colon), password: text.slice(colon + 1), expiresAt: time.toISOString() };
}
