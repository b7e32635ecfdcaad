import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import { createServer as createTlsServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import { pipeline } from 'node:stream/promises';
import type { BmcQuirkName, Clock } from '@selvedge/api';
import type { EmulatedMachine } from '../emulated-machine.ts';
import { EmulatedMedia } from './emulated-media.ts';
import { EmulatedSessions } from './emulated-sessions.ts';
import { type BootOverride, EmulatedSystem } from './emulated-system.ts';
import { badRequest, notFound, RedfishError } from './redfish-error.ts';
import { etagOf, managerId, readResource, type ResourceView } from './redfish-resources.ts';

export interface RedfishEmulatorOptions {
  /** One BMC may have several. `id` as in `/redfish/v1/Systems/ID`; default 1, 2, … */
  readonly systems: readonly { readonly id?: string; readonly machine: EmulatedMachine }[];
  readonly username: string;
  readonly password: string;
  /** How it misbehaves; default: not at all. */
  readonly quirks?: readonly BmcQuirkName[];
  readonly firmware?: string;
  /** PEM; default plain HTTP. */
  readonly tls?: { readonly key: string; readonly certificate: string };
  /** Default 127.0.0.1. */
  readonly host?: string;
  /** Default any. */
  readonly port?: number;
  readonly clock: Clock;
  /** How long its firmware starts, and how long quirks of timing last; default 10 s. */
  readonly postMs?: number;
}

/** What is wrong with it as a whole. */
export type EmulatedFault =
  /** Takes the request, says nothing. */
  (
    | { readonly kind: 'Hang' }
    /** Cuts the connection. */
    | { readonly kind: 'Reset' }
    | { readonly kind: 'Slow'; readonly milliseconds: number }
    | { readonly kind: 'Status'; readonly status: number }
    /** A page for people instead of JSON. */
    | { readonly kind: 'Garbage' }
    /** A body that does not end. */
    | { readonly kind: 'Endless' }
    /** Does what it is told, and cuts the connection before it has said so. */
    | { readonly kind: 'CutAfter' }
    /** Forgets a session after so many calls. */
    | { readonly kind: 'ShortSessions'; readonly calls: number }
  ) & {
    /** Only these calls; default all. */
    readonly when?: (call: Omit<EmulatedCall, 'status'>) => boolean;
  };

export interface EmulatedCall {
  readonly method: string;
  readonly path: string;
  readonly status: number;
  readonly body: unknown;
}

export interface RedfishEmulator {
  /** `http://127.0.0.1:PORT`: for `Machine.spec.bmc.address`, alone or with `/redfish/v1/Systems/ID`. */
  readonly url: string;
  /** Answered calls, oldest first; the last 1,000. */
  readonly calls: readonly EmulatedCall[];
  /** Can be set at any time. */
  fault: EmulatedFault | undefined;
  /** Sessions that nobody ended. */
  readonly openSessions: number;
  /** Image in its virtual media. */
  readonly mediaImage: string | null;
  /** Most calls that were under way at once. */
  readonly mostAtOnce: number;
  override(systemId: string): BootOverride;
  /** First boot device that a call of the vendor's own set. */
  oemBoot(systemId: string): string | undefined;
  close(): Promise<void>;
}

/** A baseboard controller over true HTTP, in front of emulated machines. */
export async function startRedfishEmulator(options: RedfishEmulatorOptions): Promise<RedfishEmulator> {
  const emulator = new HttpRedfishEmulator(options);
  await emulator.listen();
  return emulator;
}

const keptCalls = 1_000;
const mostBodyBytes = 1_000_000;
/** With FreezesUnderBursts: more calls a second, or two at once, and it is silent for so long. */
const mostCallsPerSecond = 10;
const frozenMs = 5_000;

class HttpRedfishEmulator implements RedfishEmulator {
  readonly calls: EmulatedCall[] = [];
  fault: EmulatedFault | undefined;
  mostAtOnce = 0;
  url = '';
  readonly #options: RedfishEmulatorOptions;
  readonly #quirks: ReadonlySet<string>;
  readonly #server;
  readonly #systems: readonly EmulatedSystem[];
  readonly #media: EmulatedMedia;
  readonly #sessions: EmulatedSessions;
  readonly #closed = new AbortController();
  #underWay = 0;
  #frozenUntil = 0;
  #recent: number[] = [];

  constructor(options: RedfishEmulatorOptions) {
    const { clock, postMs = 10_000, tls } = options;
    this.#options = options;
    this.#quirks = new Set(options.quirks);
    this.#systems = options.systems.map(
      ({ id, machine }, index) =>
        new EmulatedSystem({ id: id ?? String(index + 1), machine, has: this.#has, clock, postMs }),
    );
    this.#media = new EmulatedMedia({ has: this.#has, clock });
    this.#sessions = new EmulatedSessions(options, this.#has('FewSessions') ? 2 : 100);
    const listener = (req: IncomingMessage, res: ServerResponse) => void this.#handle(req, res);
    this.#server = tls
      ? createTlsServer({ key: tls.key, cert: tls.certificate }, listener)
      : createServer(listener);
  }

  readonly #has = (quirk: BmcQuirkName): boolean => this.#quirks.has(quirk);

  async listen(): Promise<void> {
    const { host = '127.0.0.1', port = 0, tls } = this.#options;
    await new Promise<void>((resolve, reject) => {
      this.#server.once('error', reject);
      this.#server.listen(port, host, resolve);
    });
    this.url = `${tls ? 'https' : 'http'}://${host}:${(this.#server.address() as AddressInfo).port}`;
  }

  async close(): Promise<void> {
    this.#closed.abort();
    await new Promise<void>((resolve) => {
      this.#server.close(() => resolve());
      this.#server.closeAllConnections();
    });
  }

  get openSessions(): number {
    return this.#sessions.ids.length;
  }

  get mediaImage(): string | null {
    return this.#media.image;
  }

  override(systemId: string): BootOverride {
    return this.#getSystem(systemId).override;
  }

  oemBoot(systemId: string): string | undefined {
    return this.#getSystem(systemId).oemBoot;
  }

  async #handle(req: IncomingMessage, res: ServerResponse): Promise<void> {
    this.#underWay += 1;
    this.mostAtOnce = Math.max(this.mostAtOnce, this.#underWay);
    res.once('close', () => (this.#underWay -= 1));
    try {
      const body = await readBody(req);
      const call = { method: req.method ?? '', path: req.url ?? '', body };
      const fault = this.fault?.when?.(call) === false ? undefined : this.fault;
      if (await this.#misbehave(fault, res)) return;
      const answer = await this.#answer(req, body).catch((error: unknown) => {
        if (!(error instanceof RedfishError)) throw error;
        return { status: error.status, body: error.body, headers: {} };
      });
      if (fault?.kind === 'CutAfter') res.socket?.resetAndDestroy();
      else this.#send(res, answer);
      this.calls.push({ ...call, status: answer.status });
      if (this.calls.length > keptCalls) this.calls.shift();
    } catch {
      res.destroy();
    }
  }

  /** true: nothing more is to be answered. */
  async #misbehave(fault: EmulatedFault | undefined, res: ServerResponse): Promise<boolean> {
    if (this.#isFrozen()) return true;
    switch (fault?.kind) {
      case undefined:
      case 'CutAfter':
      case 'ShortSessions':
        return false;
      case 'Hang':
        return true;
      case 'Reset':
        res.socket?.resetAndDestroy();
        return true;
      case 'Slow':
        await this.#options.clock.sleep(fault.milliseconds, this.#closed.signal);
        return false;
      case 'Status':
        this.#send(res, { status: fault.status });
        return true;
      case 'Garbage':
        res.writeHead(200, { 'content-type': 'text/html' }).end('<html><body>Please wait</body></html>');
        return true;
      case 'Endless':
        res.writeHead(200, { 'content-type': 'application/json' });
        await pipeline(endlessText(this.#closed.signal), res).catch(() => undefined);
        return true;
    }
  }

  #isFrozen(): boolean {
    if (!this.#has('FreezesUnderBursts')) return false;
    const now = this.#options.clock.now().getTime();
    this.#recent = [...this.#recent.filter((time) => time > now - 1_000), now];
    if (this.#underWay > 1 || this.#recent.length > mostCallsPerSecond) this.#frozenUntil = now + frozenMs;
    return now < this.#frozenUntil;
  }

  async #answer(req: IncomingMessage, body: unknown): Promise<Answer> {
    const { pathname } = new URL(req.url ?? '/', 'http://bmc');
    const method = req.method ?? 'GET';
    if (this.#has('TrailingSlash') && !pathname.endsWith('/')) throw notFound(pathname);
    if (this.#has('Redirects') && method !== 'GET' && !pathname.endsWith('/'))
      return { status: 308, headers: { location: `${pathname}/` } };
    const segments = pathname.split('/').filter((segment) => segment !== '');
    if (segments[0] !== 'redfish') throw notFound(pathname);
    if (segments.length === 1) return { status: 200, body: { v1: '/redfish/v1/' } };
    if (segments[1] !== 'v1') throw notFound(pathname);
    const rest = segments.slice(2);
    const isSessions = rest.join('/') === 'SessionService/Sessions';
    if (isSessions && method === 'POST') return this.#openSession(body);
    const isPublic = method === 'GET' && (rest.length === 0 || this.#isPublicSessionService(rest));
    if (!isPublic && !this.#sessions.knows(req.headers, this.#mostUses))
      throw new RedfishError(401, 'Base.1.12.NoValidSession', 'Log in first.');
    if (rest.length > 0 && rest[0] !== 'SessionService' && this.#has('PasswordChangeRequired'))
      throw new RedfishError(403, 'Base.1.12.PasswordChangeRequired', 'The password must be changed first.');
    switch (method) {
      case 'GET':
      case 'HEAD':
        return this.#read(pathname, rest);
      case 'PATCH':
        return this.#patch(rest, asRecord(body), req.headers['if-match']);
      case 'POST':
        return this.#post(rest, body);
      case 'DELETE':
        if (rest.length === 3 && rest[1] === 'Sessions' && this.#sessions.close(rest[2] ?? ''))
          return { status: 204 };
        throw notFound(pathname);
      default:
        throw new RedfishError(405, 'Base.1.12.OperationNotAllowed', `${method} is not allowed.`);
    }
  }

  get #mostUses(): number | undefined {
    return this.fault?.kind === 'ShortSessions' ? this.fault.calls : undefined;
  }

  #isPublicSessionService(rest: readonly string[]): boolean {
    return rest.length === 1 && rest[0] === 'SessionService' && !this.#has('SessionServiceNeedsLogin');
  }

  #openSession(body: unknown): Answer {
    if (this.#has('NoSessions')) throw notFound('SessionService');
    const request = asRecord(body);
    const { id, token } = this.#sessions.open(request['UserName'], request['Password']);
    const path = `/redfish/v1/SessionService/Sessions/${id}`;
    return {
      status: 201,
      headers: { 'x-auth-token': token, location: path },
      body: { '@odata.id': path, Id: id, Name: 'Session' },
    };
  }

  #read(path: string, rest: readonly string[]): Answer {
    if (rest[0] === 'Systems' && rest[2] === 'Bios') {
      if (this.#has('BiosNeedsLicence'))
        throw new RedfishError(
          403,
          'Oem.1.0.LicenseRequired',
          'A licence is required to read BIOS settings.',
        );
      return { status: 200, body: { '@odata.id': path, Id: 'Bios', Name: 'Bios', Attributes: {} } };
    }
    const view = this.#view();
    const body = readResource(view, rest);
    if (!body) throw notFound(path);
    const system = rest[0] === 'Systems' ? this.#systems.find(({ id }) => id === rest[1]) : undefined;
    const isSettings = rest[2] === 'SD';
    const etag = system && (isSettings ? `"${system.version}"` : etagOf(view, system));
    return { status: 200, body, headers: etag === undefined ? {} : { etag } };
  }

  #patch(rest: readonly string[], body: Record<string, unknown>, ifMatch: string | undefined): Answer {
    const [first, second, third, fourth] = rest;
    if (first === 'Managers' && third === 'VirtualMedia' && fourth !== undefined) {
      this.#media.patch(fourth, body);
      return { status: 204 };
    }
    if (first !== 'Systems' || second === undefined) throw notFound(rest.join('/'));
    const system = this.#getSystem(second);
    const isSettings = third === 'SD' && this.#has('SettingsResource');
    if (third !== undefined && !isSettings) throw notFound(rest.join('/'));
    if (this.#has('SettingsResource') && !isSettings)
      throw badRequest('Write to the settings.', 'Ami.1.0.OperationSupportedInFutureStateURI');
    this.#checkEtag(system, ifMatch, isSettings);
    const change = bootChange(asRecord(body['Boot']));
    if (isSettings) {
      system.pending = { ...system.pending, ...change };
      system.version += 1;
    } else system.changeBoot(change);
    return this.#done();
  }

  #checkEtag(system: EmulatedSystem, ifMatch: string | undefined, isSettings: boolean): void {
    if (ifMatch === undefined) {
      if (this.#has('EtagRequired') || isSettings)
        throw new RedfishError(428, 'Base.1.12.PreconditionRequired', 'If-Match is required.');
      return;
    }
    if (this.#has('EtagRefused') || ifMatch !== `"${system.version}"`)
      throw new RedfishError(412, 'Base.1.12.PreconditionFailed', 'The ETag does not match.');
  }

  async #post(rest: readonly string[], body: unknown): Promise<Answer> {
    const [first, second, third, fourth] = rest;
    const action = rest.at(-1);
    if (
      first === 'Systems' &&
      second !== undefined &&
      third === 'Actions' &&
      action === 'ComputerSystem.Reset'
    ) {
      await this.#getSystem(second).reset(String(asRecord(body)['ResetType']));
      return this.#done();
    }
    if (first !== 'Managers' || second !== managerId) throw notFound(rest.join('/'));
    if (this.#has('OemMediaBoot') && action === 'EID_674_Manager.ImportSystemConfiguration') {
      const device = /FirstBootDevice">([^<]+)</.exec(String(asRecord(body)['ImportBuffer']))?.[1];
      for (const system of this.#systems) system.oemBoot = device;
      return { status: 202, headers: { location: '/redfish/v1/TaskService/TaskMonitors/1' } };
    }
    if (third !== 'VirtualMedia' || fourth === undefined || this.#has('MediaByPatch'))
      throw notFound(rest.join('/'));
    if (action === 'VirtualMedia.InsertMedia') this.#media.insert(fourth, asRecord(body));
    else if (action === 'VirtualMedia.EjectMedia') this.#media.eject(fourth, body);
    else throw notFound(rest.join('/'));
    return this.#done();
  }

  #done(): Answer {
    if (!this.#has('TaskMonitorWrong')) return { status: 204 };
    const task = '/redfish/v1/TaskService/TaskMonitors/1';
    return { status: 202, headers: { location: task }, body: { '@odata.id': task, TaskState: 'New' } };
  }

  #view(): ResourceView {
    return {
      systems: this.#systems,
      media: this.#media,
      firmware: this.#options.firmware ?? '1.0',
      has: this.#has,
      sessionIds: this.#sessions.ids,
    };
  }

  #getSystem(id: string): EmulatedSystem {
    const system = this.#systems.find((candidate) => candidate.id === id);
    if (!system || system.isMissing) throw notFound(`/redfish/v1/Systems/${id}`);
    return system;
  }

  #send(res: ServerResponse, { status, headers = {}, body }: Answer): void {
    const text = body === undefined ? '' : JSON.stringify(body);
    const type = body === undefined ? {} : { 'content-type': 'application/json' };
    const length = status === 204 ? {} : { 'content-length': Buffer.byteLength(text) };
    res.writeHead(status, { ...type, ...length, 'odata-version': '4.0', ...headers });
    res.end(text);
  }
}

interface Answer {
  readonly status: number;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: object;
}

function* endlessText(signal: AbortSignal): Iterable<string> {
  yield '{"a":"';
  while (!signal.aborted) yield 'x'.repeat(65_536);
}

function bootChange(boot: Record<string, unknown>): Partial<BootOverride> {
  const enabled = boot['BootSourceOverrideEnabled'];
  const target = boot['BootSourceOverrideTarget'];
  const mode = boot['BootSourceOverrideMode'];
  const uri = boot['HttpBootUri'];
  if (enabled !== undefined && enabled !== 'Disabled' && enabled !== 'Once' && enabled !== 'Continuous')
    throw badRequest('BootSourceOverrideEnabled is not one of the list.');
  if (mode !== undefined && mode !== 'UEFI' && mode !== 'Legacy')
    throw badRequest('BootSourceOverrideMode is not one of the list.');
  if (target !== undefined && typeof target !== 'string')
    throw badRequest('BootSourceOverrideTarget is not one of the list.');
  return {
    ...(enabled === undefined ? {} : { enabled }),
    ...(target === undefined ? {} : { target }),
    ...(mode === undefined ? {} : { mode }),
    ...(uri === null || typeof uri === 'string' ? { httpBootUri: uri } : {}),
  };
}

async function readBody(req: IncomingMessage): Promise<unknown> {
  const chunks: Buffer[] = [];
  let size = 0;
  for await (const chunk of req as AsyncIterable<Buffer>) {
    size += chunk.length;
    if (size > mostBodyBytes) throw new Error('The body is too long.');
    chunks.push(chunk);
  }
  const text = Buffer.concat(chunks).toString();
  try {
    return text === '' ? undefined : JSON.parse(text);
  } catch {
    return undefined;
  }
}

function asRecord(value: unknown): Record<string, unknown> {
  return typeof value === 'object' && value !== null ? (value as Record<string, unknown>) : {};
}
