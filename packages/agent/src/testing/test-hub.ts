import { createHash, generateKeyPairSync, type KeyObject } from 'node:crypto';
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { ClientHttp2Session } from 'node:http2';
import { createServer, type Server } from 'node:https';
import type { AddressInfo } from 'node:net';
import type { Duplex } from 'node:stream';
import {
  canonicalJson,
  defaultItemTerms,
  defaultSitePolicy,
  type DesiredItem,
  type DesiredState,
  type EnrollRequest,
  hubTimeHeader,
  type InventoryParts,
  linkPath,
  type ItemReport,
  type ItemTerms,
  type LocalAct,
  type RemovalMode,
  type SitePolicy,
  type SiteReport,
  StatusError,
  type SyncRequest,
  type SyncResponse,
  type Tombstone,
} from '@selvedge/api';
import {
  applyInventoryReport,
  keyFingerprint,
  parseAvailableDictionary,
  reportsDigest,
  sha256Digest,
  stateDigest,
  systemClock,
} from '@selvedge/api/node';
import { CompactSign, decodeProtectedHeader, importJWK, jwtVerify } from 'jose';
import { connectOverWebSocket } from '../link/testing/link-client.ts';
import {
  issueCertificate,
  makeAuthority,
  type TestAuthority,
  type TestCertificate,
} from './test-certificates.ts';
import { mirrorPath, TestMirrors } from './test-mirrors.ts';
import { answer, oneHeader, readAll, refuseUpgrade, refuseWith, sendContent } from './test-hub-answers.ts';
import { TestMachines } from './test-machines.ts';

export { statusBody } from './test-hub-answers.ts';

export interface TestHubOptions {
  /** The hub's clock minus this machine's. */
  readonly timeOffsetMs?: number;
  readonly waitSeconds?: number;
  readonly port?: number;
  /** Shown instead of one of the hub's own CA. */
  readonly certificate?: TestCertificate;
}

interface OpenPoll {
  readonly request: SyncRequest;
  answer(response: SyncResponse): void;
}

/** A hub of one site that speaks the protocol truly (TLS, signatures, long-poll), and lies where a test asks it to. */
export class TestHub {
  readonly hubId = 'hub-1';
  readonly site = 'shop-1';
  siteUid = 'site-uid-1';
  readonly requests: SyncRequest[] = [];
  readonly reports = new Map<string, ItemReport>();
  readonly blobs = new Map<string, Buffer>();
  readonly blobRequests: { digest: string; range: string | undefined; dictionary: string | undefined }[] = [];
  /** Sends content as the hub does to who can read it: compressed, and as a difference. */
  encodesContent = false;
  /** Each answer with content ends after so many bytes. */
  cutsContentAfter: number | undefined;
  readonly jtis: string[] = [];
  /** Latest of each enrolment. */
  enrolments: EnrollRequest[] = [];
  identityRequests = 0;
  epoch = 0;
  variables: Record<string, string | number | boolean> = {};
  policy: SitePolicy = defaultSitePolicy;
  /** `SyncResponse.instance`. */
  instance = 'test-hub';
  items: DesiredItem[] = [];
  tombstones: Tombstone[] = [];
  /** All that the site did by itself, in the order of its numbers, each once. */
  readonly acts: LocalAct[] = [];
  /** What the site last said of itself. */
  siteReport: SiteReport | undefined;
  readonly machines = new TestMachines();
  /** What the site is made of, as told so far. */
  inventory: InventoryParts = {};
  readonly mirrors = new TestMirrors();
  /** Asks for the state that the agent follows; it is in the request after. */
  asksForState = false;
  knownKey: string | undefined;
  timeOffsetMs: number;
  /** Refuses enrolment. */
  enrolAnswer: (() => { status: number; body: unknown } | undefined) | undefined;
  /** Changes answers to sync requests; undefined answers nothing at all and cuts the connection. */
  distort: ((response: SyncResponse, request: SyncRequest) => SyncResponse | undefined) | undefined;
  /** Refuses sync requests. */
  refuse: ((request: SyncRequest) => StatusError | undefined) | undefined;
  /** Takes over the answer to a blob request; true when it did. */
  serveBlob: ((digest: string, range: string | undefined, res: ServerResponse) => boolean) | undefined;
  /** Answers with the wish for a service link until one is open. */
  wishesLink = false;
  /** The hub's ends of the service links that were opened, the newest last. */
  readonly links: ClientHttp2Session[] = [];
  /** Takes over what comes to `/link/v1`; true when it did. */
  serveLink: ((req: IncomingMessage, socket: Duplex) => boolean) | undefined;
  signingKey: KeyObject;
  readonly #fleetKey: string;
  #authority: TestAuthority;
  readonly #server: Server;
  readonly #waitSeconds: number;
  #poll: OpenPoll | undefined;

  private constructor(options: TestHubOptions, authority: TestAuthority, server: Server) {
    const { privateKey, publicKey } = generateKeyPairSync('ed25519');
    this.signingKey = privateKey;
    this.#fleetKey = publicKey.export({ format: 'jwk' }).x as string;
    this.#authority = authority;
    this.#server = server;
    this.#waitSeconds = options.waitSeconds ?? 20;
    this.timeOffsetMs = options.timeOffsetMs ?? 0;
    server.on('request', (req, res) => {
      this.#handle(req, res).catch((error: unknown) => refuseWith(res, error, this.now()));
    });
    server.on('upgrade', (req, socket, head) => {
      this.#acceptLink(req, socket, head).catch((error: unknown) => refuseUpgrade(socket, error, this.now()));
    });
  }

  static async start(options: TestHubOptions = {}): Promise<TestHub> {
    const hubNow = new Date(systemClock.now().getTime() + (options.timeOffsetMs ?? 0));
    const authority = await makeAuthority('test hub CA', hubNow);
    const certificate =
      options.certificate ??
      (await issueCertificate(authority, {
        names: ['127.0.0.1', 'localhost', '::1'],
        notBefore: new Date(hubNow.getTime() - 3_600_000),
        days: 30,
      }));
    const server = createServer(certificate);
    const hub = new TestHub(options, authority, server);
    await new Promise<void>((resolve) => server.listen(options.port ?? 0, '127.0.0.1', resolve));
    return hub;
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port;
  }

  get authority(): TestAuthority {
    return this.#authority;
  }

  token(options: { hubs?: readonly string[]; name?: string; fingerprint?: string } = {}): string {
    const claims = {
      hubs: options.hubs ?? [`https://127.0.0.1:${this.port}`],
      fleetKeyFingerprint: options.fingerprint ?? keyFingerprint(this.#fleetKey),
      token: options.name ?? 'shop-1',
      secret: 'test secret',
    };
    return `selvedge1.${Buffer.from(JSON.stringify(claims)).toString('base64url')}`;
  }

  now(): Date {
    return new Date(systemClock.now().getTime() + this.timeOffsetMs);
  }

  /** A new CA and a certificate by it, as after its key was lost. The fleet key stays. */
  async renewAuthority(): Promise<void> {
    const now = this.now();
    this.#authority = await makeAuthority('another test hub CA', now);
    const notBefore = new Date(now.getTime() - 60_000);
    this.#server.setSecureContext(
      await issueCertificate(this.#authority, { names: ['127.0.0.1'], notBefore, days: 30 }),
    );
    this.#server.closeAllConnections();
  }

  /** Assigns a release of an application; its manifests become content, unless told otherwise. */
  assign(
    name: string,
    manifests: unknown,
    options: { uid?: string; withContent?: boolean; terms?: ItemTerms } = {},
  ): DesiredItem {
    const bytes = Buffer.from(canonicalJson(manifests));
    const digest = sha256Digest(bytes);
    if (options.withContent !== false) this.blobs.set(digest, bytes);
    const id = `Application/default/${name}`;
    const uid = options.uid ?? `uid-${name}`;
    this.epoch += 1;
    const item: DesiredItem = {
      id,
      uid,
      epoch: this.epoch,
      release: `${name}-${digest.slice(7, 15)}`,
      digest,
      deadlineSeconds: 60,
      terms: options.terms ?? defaultItemTerms,
    };
    this.tombstones = this.tombstones.filter((one) => one.id !== id || one.uid !== uid);
    this.items = [...this.items.filter((one) => one.id !== id || one.uid !== uid), item];
    this.#changed();
    return item;
  }

  /** Orders a removal. */
  remove(item: { id: string; uid: string }, mode: RemovalMode = 'Delete'): void {
    this.epoch += 1;
    this.items = this.items.filter((one) => one.id !== item.id || one.uid !== item.uid);
    this.tombstones = [...this.tombstones, { id: item.id, uid: item.uid, epoch: this.epoch, mode }];
    this.#changed();
  }

  /** After fields were changed by hand. */
  publish(): void {
    this.#changed();
  }

  state(): DesiredState {
    return {
      hubId: this.hubId,
      site: this.site,
      siteUid: this.siteUid,
      epoch: this.epoch,
      variables: this.variables,
      policy: this.policy,
      items: this.items,
      tombstones: this.tombstones,
    };
  }

  async close(): Promise<void> {
    if (!this.#server.listening) return;
    for (const link of this.links) link.destroy();
    const closed = new Promise<void>((resolve) => this.#server.close(() => resolve()));
    this.#server.closeAllConnections();
    await closed;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  async #handle(req: IncomingMessage, res: ServerResponse): Promise<void> {
    const body = await readAll(req);
    const path = req.url ?? '';
    if (path === '/gateway/v1/identity') {
      this.identityRequests += 1;
      answer(res, { status: 200, body: await this.#identity() }, this.now());
      return;
    }
    if (path === '/gateway/v1/enroll') {
      await this.#enrol(req, res, body);
      return;
    }
    await this.#authenticate(req, body, this.knownKey);
    if (path.startsWith(mirrorPath)) {
      this.mirrors.bring(path, body);
      res.writeHead(204, { [hubTimeHeader]: this.now().toISOString() }).end();
      return;
    }
    if (path === '/sync/v1') await this.#sync(JSON.parse(body.toString()) as SyncRequest, res);
    else await this.#content(path, req, res);
  }

  /** Somebody wants to reach the site. */
  wishForLink(): void {
    this.wishesLink = true;
    this.#changed();
  }

  async #acceptLink(req: IncomingMessage, socket: Duplex, head: Buffer): Promise<void> {
    socket.on('error', () => {});
    if (this.serveLink?.(req, socket) === true) return;
    if (req.url !== linkPath) throw new StatusError('NotFound', 'there is no such WebSocket');
    await this.#authenticate(req, Buffer.alloc(0), this.knownKey);
    const session = await connectOverWebSocket(req, socket, head);
    this.wishesLink = false;
    this.links.push(session);
  }

  async #identity() {
    const { hubId } = this;
    const identity = { hubId, fleetKey: this.#fleetKey, caCertificate: this.#authority.certificate };
    return { ...identity, signature: await this.#sign(canonicalJson(identity)) };
  }

  async #enrol(req: IncomingMessage, res: ServerResponse, body: Buffer): Promise<void> {
    const request = JSON.parse(body.toString()) as EnrollRequest;
    await this.#authenticate(req, body, request.publicKey);
    const refused = this.enrolAnswer?.();
    if (refused !== undefined) {
      answer(res, refused, this.now());
      return;
    }
    this.enrolments.push(request);
    this.knownKey = request.publicKey;
    const { hubId, site, siteUid } = this;
    answer(res, { status: 200, body: { status: 'Enrolled', hubId, site, siteUid } }, this.now());
  }

  async #sync(request: SyncRequest, res: ServerResponse): Promise<void> {
    this.requests.push(request);
    const refused = this.refuse?.(request);
    if (refused !== undefined) throw refused;
    this.#poll?.answer(this.#plainAnswer());
    for (const report of request.reports) this.reports.set(`${report.id} ${report.uid}`, report);
    for (const act of request.acts ?? []) if (act.seq > this.#lastAct) this.acts.push(act);
    this.siteReport = request.site ?? this.siteReport;
    const hasMachines = this.machines.take(request);
    if (request.held !== undefined) this.asksForState = false;
    const after = request.inventory && applyInventoryReport(this.inventory, request.inventory);
    this.inventory = after ?? this.inventory;
    const sendInventory = request.inventory !== undefined && after === undefined;
    let response = this.#plainAnswer();
    const offered = await this.#offer(request);
    const wantsAll =
      request.reports.length === 0 && request.reportsDigest !== reportsDigest([...this.reports.values()]);
    const isRefused = request.refusal?.epoch === this.epoch && request.full !== true;
    const sendMirrors = this.mirrors.take(request.mirrors ?? []);
    const hasTold =
      request.mirrors !== undefined ||
      request.reports.length > 0 ||
      request.acts !== undefined ||
      hasMachines ||
      request.held !== undefined ||
      request.inventory !== undefined;
    const hasNews =
      wantsAll || hasTold || this.asksForState || this.wishesLink || (offered !== undefined && !isRefused);
    if (!hasNews) response = await this.#park(request, res);
    const state = isRefused && hasNews ? undefined : await this.#offer(request);
    response = {
      ...response,
      ...(wantsAll ? { sendAllReports: true } : {}),
      ...(sendInventory ? { sendInventory } : {}),
      ...(sendMirrors.length === 0 ? {} : { sendMirrors }),
      ...(state ? { state } : {}),
    };
    const distorted = this.distort === undefined ? response : this.distort(response, request);
    if (distorted === undefined) res.destroy();
    else answer(res, { status: 200, body: distorted }, this.now());
  }

  #park(request: SyncRequest, res: ServerResponse): Promise<SyncResponse> {
    return new Promise((resolve) => {
      const over = new AbortController();
      const poll: OpenPoll = {
        request,
        answer: (response) => {
          over.abort();
          if (this.#poll === poll) this.#poll = undefined;
          resolve(response);
        },
      };
      this.#poll = poll;
      res.on('close', () => poll.answer(this.#plainAnswer()));
      const waitSeconds = Math.min(this.#waitSeconds, request.maxWaitSeconds ?? this.#waitSeconds);
      void systemClock.sleep(waitSeconds * 1000, over.signal).then(() => poll.answer(this.#plainAnswer()));
    });
  }

  async #offer(request: SyncRequest): Promise<SyncResponse['state']> {
    const state = this.state();
    const digest = stateDigest(state);
    if (this.epoch === 0 || (request.epoch === state.epoch && request.stateDigest === digest))
      return undefined;
    const { hubId, site, siteUid, epoch } = state;
    const signed = await this.#sign(canonicalJson({ hubId, site, siteUid, epoch, stateDigest: digest }));
    const full = request.full === true || request.epoch === 0 || request.epoch >= epoch;
    const isNew = (one: { epoch: number }) => full || one.epoch > request.epoch;
    return {
      signed,
      full,
      variables: state.variables,
      policy: state.policy,
      items: state.items.filter(isNew),
      tombstones: state.tombstones.filter(isNew),
    };
  }

  async #content(path: string, req: IncomingMessage, res: ServerResponse): Promise<void> {
    const digest = path.slice('/content/v1/blobs/'.length);
    const range = req.headers.range;
    const dictionary = parseAvailableDictionary(oneHeader(req.headers['available-dictionary']));
    this.blobRequests.push({ digest, range, dictionary });
    if (this.serveBlob?.(digest, range, res) === true) return;
    const bytes = this.blobs.get(digest);
    if (bytes === undefined) throw new StatusError('NotFound', `no content ${digest}`);
    const known = dictionary === undefined ? undefined : this.blobs.get(dictionary);
    await sendContent(req, res, {
      bytes,
      dictionary: known && { digest: dictionary as string, bytes: known },
      isEncoded: this.encodesContent,
      cutsAfter: this.cutsContentAfter,
      now: this.now(),
    });
  }

  async #authenticate(req: IncomingMessage, body: Buffer, publicKey: string | undefined): Promise<void> {
    const token = /^Bearer (.+)$/.exec(req.headers.authorization ?? '')?.[1] ?? '';
    if (publicKey === undefined || decodeProtectedHeader(token).kid !== keyFingerprint(publicKey)) {
      throw new StatusError('Unauthorized', 'the key of this agent is unknown or revoked');
    }
    const key = await importJWK({ kty: 'OKP', crv: 'Ed25519', x: publicKey }, 'EdDSA');
    const { payload } = await jwtVerify(token, key, {
      audience: this.hubId,
      currentDate: this.now(),
      clockTolerance: 60,
    }).catch((error: Error) => {
      throw new StatusError('Unauthorized', `check the clock: ${error.message}`);
    });
    if ((payload.iat ?? 0) * 1000 > this.now().getTime() + 60_000) {
      throw new StatusError('Unauthorized', 'the clock of the agent is ahead');
    }
    const hash = createHash('sha256').update(body).digest('base64url');
    if (payload['bh'] !== hash) throw new StatusError('Unauthorized', 'the body is not the signed one');
    if (this.jtis.includes(String(payload.jti))) throw new StatusError('Unauthorized', 'seen before');
    this.jtis.push(String(payload.jti));
  }

  #plainAnswer(): SyncResponse {
    const ackSeq = Math.max(0, ...[...this.reports.values()].map((report) => report.seq));
    return {
      hubTime: this.now().toISOString(),
      instance: this.instance,
      ackSeq,
      ...(this.acts.length > 0 ? { ackActs: this.#lastAct } : {}),
      ...this.machines.acknowledgement(),
      ...(this.asksForState ? { sendState: true } : {}),
      ...(this.wishesLink ? { openLink: true as const } : {}),
      retryAfterSeconds: 0,
    };
  }

  get #lastAct(): number {
    return this.acts.at(-1)?.seq ?? 0;
  }

  #changed(): void {
    this.#poll?.answer(this.#plainAnswer());
  }

  #sign(text: string): Promise<string> {
    return new CompactSign(Buffer.from(text)).setProtectedHeader({ alg: 'EdDSA' }).sign(this.signingKey);
  }
}
