import { createHash, generateKeyPairSync, type KeyObject, randomUUID } from 'node:crypto';
import { Agent, request } from 'node:https';
import type { IncomingHttpHeaders } from 'node:http';
import {
  type AgentInfo,
  defaultSitePolicy,
  type DesiredItem,
  type EnrollmentTokenClaims,
  type HubIdentity,
  type ItemReport,
  type SignedStateHeader,
  type SitePolicy,
  type StatusBody,
  type SyncRequest,
  type SyncResponse,
  type Tombstone,
} from '@selvedge/api';
import { keyFingerprint, reportsDigest, stateDigest, systemClock } from '@selvedge/api/node';
import { compactVerify, importJWK, SignJWT } from 'jose';

export interface HttpAnswer<T = unknown> {
  readonly code: number;
  readonly headers: IncomingHttpHeaders;
  readonly body: T;
  readonly bytes: Buffer;
}

/** Every answer of the enrolment door, refusals too. */
export interface EnrollAnswer {
  status: string;
  message: string;
  reason?: string;
  site?: string;
  siteUid?: string;
  retryAfterSeconds?: number;
}

export interface JwtOverrides {
  iss?: string;
  aud?: string;
  kid?: string;
  jti?: string;
  /** Body that is signed instead of the one that is sent. */
  signedBody?: string;
  /** Clock of the agent minus the true one. */
  clockOffsetSeconds?: number;
  lifeSeconds?: number;
  key?: KeyObject;
}

export interface Call {
  method: string;
  path: string;
  body?: string;
  headers?: Record<string, string>;
  signal?: AbortSignal;
}

/**
 * An agent written from the protocol's text alone, over real TLS. It keeps what a true agent keeps on disk, and checks
 * what a true agent checks.
 */
export class TestAgent {
  readonly info: AgentInfo = {
    version: '0.1.0',
    hostname: 'till-1',
    os: 'Debian 12',
    architecture: 'x64',
    runtime: 'podman 4.3.1',
  };
  readonly publicKey: string;
  readonly fingerprint: string;
  readonly privateKey: KeyObject;
  site = '';
  siteUid = '';
  hubId = '';
  fleetKey = '';
  epoch = 0;
  stateDigest = '';
  variables: Record<string, string | number | boolean> = {};
  policy: SitePolicy = defaultSitePolicy;
  /** JWS of the state that it follows. */
  signed = '';
  items: DesiredItem[] = [];
  tombstones: Tombstone[] = [];
  readonly reports = new Map<string, ItemReport>();
  #seq = 0;
  url: string;
  readonly #agent: Agent;

  constructor(url: string, caCertificate: string) {
    this.url = url;
    this.#agent = new Agent({ ca: caCertificate, keepAlive: true });
    const { privateKey, publicKey } = generateKeyPairSync('ed25519');
    this.privateKey = privateKey;
    this.publicKey = publicKey.export({ format: 'jwk' }).x ?? '';
    this.fingerprint = keyFingerprint(this.publicKey);
  }

  close(): void {
    this.#agent.destroy();
  }

  async identify(expectedFingerprint?: string): Promise<HubIdentity> {
    const { body } = await this.call<HubIdentity>({ method: 'GET', path: '/gateway/v1/identity' });
    if (expectedFingerprint !== undefined && keyFingerprint(body.fleetKey) !== expectedFingerprint) {
      throw new Error('another hub');
    }
    this.hubId = body.hubId;
    this.fleetKey = body.fleetKey;
    await this.verify(body.signature);
    return body;
  }

  /** Payload of a JWS by the fleet key. */
  async verify(jws: string): Promise<string> {
    const key = await importJWK({ kty: 'OKP', crv: 'Ed25519', x: this.fleetKey }, 'EdDSA');
    const { payload } = await compactVerify(jws, key, { algorithms: ['EdDSA'] });
    return Buffer.from(payload).toString('utf8');
  }

  async enroll(
    tokenText: string,
    overrides: JwtOverrides & { secret?: string; token?: string; hostname?: string } = {},
  ): Promise<HttpAnswer<EnrollAnswer>> {
    const claims = decodeToken(tokenText);
    await this.identify(claims.fleetKeyFingerprint);
    const body = JSON.stringify({
      token: overrides.token ?? claims.token,
      secret: overrides.secret ?? claims.secret,
      publicKey: this.publicKey,
      agent: { ...this.info, hostname: overrides.hostname ?? this.info.hostname },
    });
    const answer = await this.signedCall<EnrollAnswer>(
      { method: 'POST', path: '/gateway/v1/enroll', body },
      { iss: '', ...overrides },
    );
    if (answer.code === 200) {
      this.site = answer.body.site ?? '';
      this.siteUid = answer.body.siteUid ?? '';
    }
    return answer;
  }

  syncRequest(over: Partial<SyncRequest> = {}): SyncRequest {
    return {
      epoch: this.epoch,
      stateDigest: this.stateDigest,
      agentTime: systemClock.now().toISOString(),
      reports: [],
      reportsDigest: reportsDigest([...this.reports.values()]),
      ...over,
    };
  }

  async sync(
    over: Partial<SyncRequest> = {},
    overrides: JwtOverrides & { signal?: AbortSignal } = {},
  ): Promise<HttpAnswer<SyncResponse & StatusBody>> {
    const { signal, ...jwt } = overrides;
    const body = JSON.stringify(this.syncRequest(over));
    return this.signedCall({ method: 'POST', path: '/sync/v1', body, ...(signal ? { signal } : {}) }, jwt);
  }

  /** Takes a state as a true agent does; throws when anything does not fit. */
  async accept(state: NonNullable<SyncResponse['state']>): Promise<void> {
    const header = JSON.parse(await this.verify(state.signed)) as SignedStateHeader;
    if (header.hubId !== this.hubId || header.site !== this.site || header.siteUid !== this.siteUid) {
      throw new Error('a state for somebody else');
    }
    if (header.epoch < this.epoch) throw new Error('an older state');
    const touched = new Set([...state.items, ...state.tombstones].map((i) => `${i.id} ${i.uid}`));
    const kept = <T extends { id: string; uid: string }>(list: T[]): T[] =>
      state.full ? [] : list.filter((i) => !touched.has(`${i.id} ${i.uid}`));
    const items = [...kept(this.items), ...state.items];
    const tombstones = [...kept(this.tombstones), ...state.tombstones];
    const { hubId, site, siteUid, epoch } = header;
    const { variables, policy } = state;
    const next = { hubId, site, siteUid, epoch, variables, policy, items, tombstones };
    if (stateDigest(next) !== header.stateDigest) throw new Error('the state does not fit its digest');
    Object.assign(this, {
      epoch,
      stateDigest: header.stateDigest,
      variables,
      policy,
      items,
      tombstones,
      signed: state.signed,
    });
  }

  /** What it follows, as the hub signed it. */
  held(): NonNullable<SyncRequest['held']> {
    const { signed, hubId, site, siteUid, epoch, variables, policy, items, tombstones } = this;
    return { signed, state: { hubId, site, siteUid, epoch, variables, policy, items, tombstones } };
  }

  /** Makes and keeps the next report of an item. */
  report(item: DesiredItem, over: Partial<ItemReport> = {}): ItemReport {
    this.#seq += 1;
    const now = systemClock.now().toISOString();
    const report: ItemReport = {
      id: item.id,
      uid: item.uid,
      epoch: item.epoch,
      release: item.release,
      digest: item.digest,
      state: 'Running',
      runningDigest: item.digest,
      sinceTime: now,
      observedTime: now,
      seq: this.#seq,
      ...over,
    };
    this.reports.set(`${item.id} ${item.uid}`, report);
    return report;
  }

  async getBlob(digest: string, headers: Record<string, string> = {}, method = 'GET'): Promise<HttpAnswer> {
    return this.signedCall({ method, path: `/content/v1/blobs/${digest}`, headers });
  }

  async signedCall<T>(call: Call, overrides: JwtOverrides = {}): Promise<HttpAnswer<T>> {
    const token = await this.jwt(overrides.signedBody ?? call.body ?? '', overrides);
    return this.call<T>({ ...call, headers: { authorization: `Bearer ${token}`, ...call.headers } });
  }

  jwt(body: string, overrides: JwtOverrides = {}): Promise<string> {
    const now = Math.floor(systemClock.now().getTime() / 1000) + (overrides.clockOffsetSeconds ?? 0);
    return new SignJWT({ bh: createHash('sha256').update(body).digest('base64url') })
      .setProtectedHeader({ alg: 'EdDSA', kid: overrides.kid ?? this.fingerprint })
      .setIssuer(overrides.iss ?? this.site)
      .setAudience(overrides.aud ?? this.hubId)
      .setIssuedAt(now)
      .setExpirationTime(now + (overrides.lifeSeconds ?? 120))
      .setJti(overrides.jti ?? randomUUID())
      .sign(overrides.key ?? this.privateKey);
  }

  call<T>({ method, path, body, headers, signal }: Call): Promise<HttpAnswer<T>> {
    const { promise, resolve, reject } = Promise.withResolvers<HttpAnswer<T>>();
    const outgoing = request(
      new URL(path, this.url),
      {
        method,
        agent: this.#agent,
        headers: { ...(body === undefined ? {} : { 'content-length': Buffer.byteLength(body) }), ...headers },
        ...(signal ? { signal } : {}),
      },
      (incoming) => {
        const chunks: Buffer[] = [];
        incoming.on('data', (chunk: Buffer) => chunks.push(chunk));
        incoming.on('error', reject);
        incoming.on('end', () => {
          const bytes = Buffer.concat(chunks);
          const isJson = incoming.headers['content-type']?.includes('json') ?? false;
          resolve({
            code: incoming.statusCode ?? 0,
            headers: incoming.headers,
            body: (isJson && bytes.length > 0 ? JSON.parse(bytes.toString('utf8')) : undefined) as T,
            bytes,
          });
        });
      },
    );
    outgoing.on('error', reject);
    outgoing.end(body);
    return promise;
  }
}

export function decodeToken(text: string): EnrollmentTokenClaims {
  const [prefix, encoded] = text.split('.');
  if (prefix !== 'selvedge1' || encoded === undefined) throw new Error('not a token');
  return JSON.parse(Buffer.from(encoded, 'base64url').toString('utf8')) as EnrollmentTokenClaims;
}
