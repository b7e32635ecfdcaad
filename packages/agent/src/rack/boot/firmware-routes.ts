import { createReadStream } from 'node:fs';
import { open, stat } from 'node:fs/promises';
import { pipeline } from 'node:stream/promises';
import { bootLoaderFiles, bootScriptPath, type Logger, type MachineArchitecture } from '@selvedge/api';
import type { ImageLibrary } from '../images/image-library.ts';
import {
  type DecisionScriptOptions,
  decisionScript,
  firstScript,
  refusedScript,
  refusedScriptPath,
  troubled,
} from './boot-scripts.ts';
import { type Exchange, HttpRefusal, sendBytes, sendText } from './http-answer.ts';
import type { BootRequest, MachineDesk } from './machine-desk.ts';
import { RequestBudget } from './request-budget.ts';
import type { ScriptSigner } from './script-signer.ts';
import { parseMac, parseSerial, parseUuid } from './wire-lines.ts';

export interface FirmwareRoutesOptions {
  readonly desk: MachineDesk;
  readonly files: Pick<ImageLibrary, 'findBootFile'>;
  readonly signer?: ScriptSigner;
  readonly monotonicMs: () => number;
  readonly logger: Logger;
}

/** What firmware and iPXE ask, by GET and HEAD: loaders, scripts, the files of the inspection system. */
export class FirmwareRoutes {
  readonly #o: FirmwareRoutesOptions;
  readonly #decisions: RequestBudget;
  /** Scripts as they were told, newest last, to be signed when the firmware asks for that. */
  readonly #told = new Map<string, string>();
  readonly #signatures = new Map<string, Promise<Buffer>>();

  constructor(options: FirmwareRoutesOptions) {
    this.#o = options;
    this.#decisions = new RequestBudget({ burst: 120, perSecond: 2, monotonicMs: options.monotonicMs });
  }

  /** @returns false when the path is none of these. */
  async serve(exchange: Exchange): Promise<boolean> {
    const { pathname } = exchange.url;
    const [, folder, ...rest] = pathname.split('/');
    if (folder !== 'boot' && folder !== 'ipxe' && folder !== 'system') return false;
    if (exchange.req.method !== 'GET' && exchange.req.method !== 'HEAD')
      throw new HttpRefusal(405, 'GET only');
    if (folder === 'boot') await this.#bootLoader(exchange, rest.join('/'));
    else if (folder === 'system') await this.#systemFile(exchange, rest);
    else await this.#script(exchange, pathname);
    return true;
  }

  async #bootLoader(exchange: Exchange, file: string): Promise<void> {
    if (!bootLoaderFiles.includes(file))
      throw new HttpRefusal(404, `there are ${bootLoaderFiles.join(', ')}`);
    const [architecture, name] = file.split('/') as [MachineArchitecture, string];
    await this.#sendBootFile(exchange, architecture, name);
  }

  async #systemFile(exchange: Exchange, [architecture, name, ...more]: readonly string[]): Promise<void> {
    const isKnown = architecture === 'amd64' || architecture === 'arm64';
    const file = systemFiles.find((known) => name === known || name === `${known}.sig`);
    if (!isKnown || file === undefined || more.length > 0) {
      throw new HttpRefusal(404, `there are ${systemFiles.join(', ')} of amd64 and arm64`);
    }
    if (name === file) await this.#sendBootFile(exchange, architecture, file);
    else await this.#sendFileSignature(exchange, architecture, file);
  }

  async #script(exchange: Exchange, pathname: string): Promise<void> {
    const { res, rackUrl, req } = exchange;
    if (this.#o.signer !== undefined) refuseOtherHost(req.headers.host, rackUrl);
    const isSigned = this.#o.signer !== undefined;
    const first = firstScript({ rackUrl, isSigned });
    switch (pathname) {
      case bootScriptPath:
        return sendText(res, 200, first);
      case `${bootScriptPath}.sig`:
        return await this.#sendSignature(exchange, first);
      case refusedScriptPath:
        return sendText(res, 200, refusedScript);
      case `${refusedScriptPath}.sig`:
        return await this.#sendSignature(exchange, refusedScript);
      case '/ipxe/decide':
        return await this.#decide(exchange);
      case '/ipxe/decide.sig':
        return await this.#sendSignature(exchange, this.#told.get(toldKey(exchange)));
    }
    throw new HttpRefusal(404, 'there is no such script');
  }

  async #decide(exchange: Exchange): Promise<void> {
    const { address, url, res, rackUrl, req } = exchange;
    // Asking makes a nonce: a HEAD must not.
    if (req.method !== 'GET') throw new HttpRefusal(405, 'GET only');
    if (!this.#decisions.take(address)) throw new HttpRefusal(429, 'too many questions; ask again later');
    const request = parseBootRequest(url.searchParams, address);
    const attempt = Number(/^\d{1,4}$/.exec(url.searchParams.get('attempt') ?? '')?.[0] ?? 0);
    const options: DecisionScriptOptions = {
      rackUrl,
      query: formatBootRequest(request, url.searchParams),
      platform: request.platform,
      architecture: request.architecture,
      attempt,
      isSigned: this.#o.signer !== undefined,
    };
    const script = await this.#askDesk(request, options);
    if (script === undefined) throw new HttpRefusal(404, 'nothing to boot for you here');
    if (options.isSigned) this.#remember(toldKey(exchange), script);
    sendText(res, 200, script);
  }

  async #askDesk(request: BootRequest, options: DecisionScriptOptions): Promise<string | undefined> {
    try {
      return decisionScript(await this.#o.desk.bootRequested(request), options);
    } catch (error) {
      this.#o.logger.error('no decision for a box that boots', { mac: request.macAddress, error });
      return decisionScript(troubled, options);
    }
  }

  #remember(key: string, script: string): void {
    this.#told.delete(key);
    this.#told.set(key, script);
    const [oldest] = this.#told.keys();
    if (this.#told.size > mostRemembered && oldest !== undefined) this.#told.delete(oldest);
  }

  async #sendBootFile(exchange: Exchange, architecture: MachineArchitecture, name: string): Promise<void> {
    const { req, res, address } = exchange;
    const path = await this.#findFile(architecture, name);
    const file = await open(path, 'r');
    try {
      const { size } = await file.stat();
      res.writeHead(200, { 'content-type': 'application/octet-stream', 'content-length': size });
      if (req.method === 'HEAD') {
        res.end();
        return;
      }
      // A file that grows meanwhile must not become more than was announced.
      const last = Math.max(0, size - 1);
      if (size === 0) res.end();
      else await pipeline(createReadStream('', { fd: file, start: 0, end: last, autoClose: false }), res);
      this.#o.desk.fileFetched(address, name);
    } finally {
      await file.close();
    }
  }

  async #findFile(architecture: MachineArchitecture, name: string): Promise<string> {
    const path = await this.#o.files.findBootFile(architecture, name);
    if (path === undefined) throw new HttpRefusal(404, `the rack has no ${name} for ${architecture} yet`);
    return path;
  }

  async #sendSignature({ res }: Exchange, text: string | undefined): Promise<void> {
    const { signer } = this.#o;
    if (signer === undefined || text === undefined) throw new HttpRefusal(404, 'the rack did not sign that');
    sendBytes(res, await signer.signText(text));
  }

  async #sendFileSignature(
    { res }: Exchange,
    architecture: MachineArchitecture,
    name: string,
  ): Promise<void> {
    const { signer } = this.#o;
    if (signer === undefined) throw new HttpRefusal(404, 'the rack has no key to sign with');
    const path = await this.#findFile(architecture, name);
    const { mtimeMs, size, ino } = await stat(path);
    const key = `${path} ${ino} ${size} ${mtimeMs}`;
    const known = this.#signatures.get(key);
    const signature = known ?? signer.signFile(path);
    if (known === undefined) {
      if (this.#signatures.size >= systemFiles.length * 2) this.#signatures.clear();
      this.#signatures.set(key, signature);
      signature.catch(() => this.#signatures.delete(key));
    }
    sendBytes(res, await signature);
  }
}

/** Firmware may leave out the port. A box that reaches the rack by another address would be led to one that it cannot reach. */
function refuseOtherHost(host: string | undefined, rackUrl: string): void {
  const own = new URL(rackUrl).hostname;
  const isOwn =
    host === undefined || (URL.canParse(`http://${host}`) && new URL(`http://${host}`).hostname === own);
  if (!isOwn) throw new HttpRefusal(421, `signed scripts lead to ${own}: ask there`);
}

const systemFiles = ['vmlinuz', 'initrd.img'];
const mostRemembered = 256;

const toldKey = ({ address, url }: Exchange) => `${address} ${url.search}`;

/** @throws HttpRefusal 400: then boot.ipxe leaves the box to its firmware. */
export function parseBootRequest(query: URLSearchParams, address: string): BootRequest {
  const macAddress = parseMac(query.get('mac') ?? undefined);
  if (macAddress === undefined) throw new HttpRefusal(400, 'mac: an Ethernet address is needed');
  const uuid = parseUuid(query.get('uuid') ?? undefined);
  const serial = parseSerial(query.get('serial') ?? undefined);
  const manufacturer = parseSerial(query.get('manufacturer') ?? undefined);
  const product = parseSerial(query.get('product') ?? undefined);
  const platform = platforms[query.get('platform') ?? ''];
  // iPXE for BIOS says i386 on every processor.
  const architecture = architectures[query.get('arch') ?? ''];
  if (platform === undefined) throw new HttpRefusal(400, 'platform: pcbios or efi');
  if (architecture === undefined) throw new HttpRefusal(400, 'arch: i386, x86_64 or arm64');
  return {
    macAddress,
    ...(uuid === undefined ? {} : { uuid }),
    ...(serial === undefined ? {} : { serial }),
    ...(manufacturer === undefined ? {} : { manufacturer }),
    ...(product === undefined ? {} : { product }),
    platform,
    architecture,
    address,
  };
}

/** The same question again, without anything that iPXE would read as more than text. */
function formatBootRequest(request: BootRequest, query: URLSearchParams): string {
  const { macAddress, uuid, serial, product, manufacturer } = request;
  const parts = {
    mac: macAddress,
    uuid,
    serial,
    platform: query.get('platform'),
    arch: query.get('arch'),
    product,
    manufacturer,
  };
  return Object.entries(parts)
    .map(([key, value]) => `${key}=${encodeForScript(value ?? '')}`)
    .join('&');
}

const encodeForScript = (text: string) =>
  encodeURIComponent(text).replaceAll(
    /[!'()*~]/g,
    (char) => `%${char.charCodeAt(0).toString(16).toUpperCase()}`,
  );

const platforms: Readonly<Record<string, BootRequest['platform']>> = { pcbios: 'BIOS', efi: 'UEFI' };
const architectures: Readonly<Record<string, MachineArchitecture>> = {
  i386: 'amd64',
  x86_64: 'amd64',
  arm64: 'arm64',
};
