import { pipeline } from 'node:stream/promises';
import { Readable } from 'node:stream';
import type { IncomingMessage, ServerResponse } from 'node:http';
import {
  type Logger,
  type ObjectClient,
  type Site,
  siteArchiveMediaType,
  sites,
  StatusError,
} from '@selvedge/api';
import type { ConnectRequest, ConnectSubresource } from '@selvedge/apiserver';
import type { SiteExporter } from './site-exporter.ts';

const longestBody = 2 * 1024 * 1024;
const longestHave = 20_000;

/** `POST sites/NAME/export`: the archive of the site as it comes. What fails after its head ends the connection. */
export class ExportEndpoint implements ConnectSubresource {
  readonly #o: { client: () => Pick<ObjectClient, 'get'>; exporter: SiteExporter; logger: Logger };

  constructor(options: {
    /** As the hub itself. */
    client: () => Pick<ObjectClient, 'get'>;
    exporter: SiteExporter;
    logger: Logger;
  }) {
    this.#o = { ...options, logger: options.logger.child({ component: 'export' }) };
  }

  async connect({ name, rest, req, res, user, draining }: ConnectRequest): Promise<void> {
    const { client, exporter, logger } = this.#o;
    if (rest !== '' || req.upgradeTo) throw new StatusError('NotFound', 'there is nothing below an export');
    if (req.method !== 'POST') {
      throw new StatusError('MethodNotAllowed', `an export takes POST, not ${req.method ?? 'this'}`);
    }
    const wish = parseWish(await readBody(req as IncomingMessage));
    const site = await client().get<Site>(sites, { name });
    const gone = new AbortController();
    const response = res as ServerResponse;
    response.once('close', () => gone.abort('gone'));
    const signal = AbortSignal.any([gone.signal, draining]);
    const { head, archive } = await exporter.export({ site, ...wish, signal });
    response.writeHead(200, { 'content-type': siteArchiveMediaType, 'cache-control': 'no-store' });
    const told = { site: name, user: user.name, epoch: head.state.epoch };
    logger.info('a site is exported', told);
    try {
      await pipeline(Readable.from(archive, { objectMode: false }), response, { signal });
      logger.info('a site was exported', told);
    } catch (error) {
      // The head is sent: all that can be said now is that the connection ends early.
      logger.warn('the export of a site was broken off', { ...told, error });
      response.destroy();
    }
  }
}

function parseWish(body: Buffer): { withImages: boolean; have: ReadonlySet<string> } {
  const { images = true, have = [] } = body.length === 0 ? {} : parseJson(body);
  if (typeof images !== 'boolean') throw new StatusError('BadRequest', 'images: must be true or false');
  if (!Array.isArray(have) || have.length > longestHave) {
    throw new StatusError('BadRequest', `have: must be a list of at most ${longestHave} digests`);
  }
  const wrong = have.findIndex((one) => typeof one !== 'string' || !/^sha256:[0-9a-f]{64}$/.test(one));
  if (wrong >= 0) throw new StatusError('BadRequest', `have[${wrong}]: must be a digest, sha256:…`);
  return { withImages: images, have: new Set(have as string[]) };
}

function parseJson(body: Buffer): { images?: unknown; have?: unknown } {
  try {
    const value: unknown = JSON.parse(body.toString('utf8'));
    if (typeof value === 'object' && value !== null) return value;
  } catch {
    // Said below.
  }
  throw new StatusError('BadRequest', 'the body must be a SiteExportRequest as JSON');
}

async function readBody(request: IncomingMessage): Promise<Buffer> {
  const chunks: Buffer[] = [];
  let length = 0;
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  // Not `for await`: leaving that loop early would destroy the request, and with it the answer.
  request.on('data', (chunk: Buffer) => {
    length += chunk.length;
    if (length <= longestBody) chunks.push(chunk);
    else reject(new StatusError('RequestEntityTooLarge', `the body is longer than ${longestBody} bytes`));
  });
  request.once('end', resolve);
  request.once('close', () => reject(new StatusError('BadRequest', 'the request ended before its body did')));
  await promise;
  return Buffer.concat(chunks);
}
