import type { Logger } from '@selvedge/api';
import type { RegistryContent } from '../content/registry-content.ts';
import { DistributionError } from '../distribution-error.ts';
import { indexTypes } from '../media-types.ts';
import type { RegistryExchange } from './registry-exchange.ts';
import type { RegistryRoute } from './registry-route.ts';

const maxManifestBytes = 4 * 1024 * 1024;
const maxTagsPerPage = 1_000;
const [indexType = ''] = indexTypes;

type ManifestRoute = Extract<RegistryRoute, { kind: 'manifest' | 'tags' | 'referrers' }>;

/** Manifests, tags and referrers of a repository. */
export class ManifestRequests {
  readonly #content: RegistryContent;
  readonly #log: Logger;

  constructor({ content, logger }: { readonly content: RegistryContent; readonly logger: Logger }) {
    this.#content = content;
    this.#log = logger;
  }

  async handle(exchange: RegistryExchange, route: ManifestRoute, who: string): Promise<void> {
    const { method } = exchange;
    if (route.kind === 'manifest' && method === 'PUT') await this.#put(exchange, route, who);
    else if (route.kind === 'manifest' && method === 'DELETE') await this.#delete(exchange, route, who);
    else if (method !== 'GET' && method !== 'HEAD') {
      throw new DistributionError('UNSUPPORTED', `${method} is not for this path`);
    } else if (route.kind === 'manifest') await this.#get(exchange, route);
    else if (route.kind === 'tags') await this.#tags(exchange, route.repository);
    else await this.#referrers(exchange, route);
  }

  async #get(exchange: RegistryExchange, route: { repository: string; reference: string }): Promise<void> {
    const { repository, reference } = route;
    const manifest = await this.#content.findManifest(repository, reference);
    if (manifest === undefined) throw unknownManifest(repository, reference);
    const etag = `"${manifest.digest}"`;
    const headers = { 'docker-content-digest': manifest.digest, etag };
    if (exchange.header('if-none-match') === etag) {
      exchange.answer({ status: 304, headers });
      return;
    }
    exchange.answer({
      status: 200,
      headers: { ...headers, 'content-type': manifest.mediaType },
      body: manifest.bytes,
    });
  }

  async #put(
    exchange: RegistryExchange,
    { repository, reference }: { repository: string; reference: string },
    who: string,
  ): Promise<void> {
    const mediaType = exchange.header('content-type') ?? '';
    const bytes = await exchange.smallBody(maxManifestBytes);
    const length = Number(exchange.header('content-length') ?? bytes.length);
    if (length !== bytes.length) throw new DistributionError('MANIFEST_INVALID', 'the manifest was cut off');
    const { digest, subject } = await this.#content.putManifest(repository, reference, { mediaType, bytes });
    this.#log.info('image pushed', { repository, reference, digest, user: who });
    exchange.answer({
      status: 201,
      headers: {
        location: `/v2/${repository}/manifests/${digest}`,
        'docker-content-digest': digest,
        ...(subject === undefined ? {} : { 'oci-subject': subject }),
      },
    });
  }

  async #delete(
    exchange: RegistryExchange,
    { repository, reference }: { repository: string; reference: string },
    who: string,
  ): Promise<void> {
    if (!(await this.#content.deleteManifest(repository, reference)))
      throw unknownManifest(repository, reference);
    this.#log.info('image deleted', { repository, reference, user: who });
    exchange.answer({ status: 202 });
  }

  async #tags(exchange: RegistryExchange, repository: string): Promise<void> {
    const all = await this.#content.listTags(repository);
    if (all === undefined)
      throw new DistributionError('NAME_UNKNOWN', `there is no repository ${repository} yet`);
    const { query } = exchange;
    const last = query.get('last') ?? '';
    const wanted = Number(query.get('n') ?? maxTagsPerPage);
    if (!Number.isSafeInteger(wanted) || wanted < 0) {
      throw new DistributionError('UNSUPPORTED', 'n must be a number, nought or more');
    }
    const most = Math.min(wanted, maxTagsPerPage);
    const rest = all.filter((tag) => tag > last);
    const tags = rest.slice(0, most);
    const end = tags.at(-1);
    const next =
      end !== undefined && rest.length > tags.length
        ? { link: `</v2/${repository}/tags/list?n=${most}&last=${encodeURIComponent(end)}>; rel="next"` }
        : {};
    exchange.answer({ status: 200, headers: next, body: { name: repository, tags } });
  }

  async #referrers(exchange: RegistryExchange, route: { repository: string; digest: string }): Promise<void> {
    const all = await this.#content.listReferrers(route.repository, route.digest);
    const wanted = exchange.query.get('artifactType');
    const manifests = wanted === null ? all : all.filter(({ artifactType }) => artifactType === wanted);
    exchange.answer({
      status: 200,
      headers: {
        'content-type': indexType,
        ...(wanted === null ? {} : { 'oci-filters-applied': 'artifactType' }),
      },
      body: { schemaVersion: 2, mediaType: indexType, manifests },
    });
  }
}

function unknownManifest(repository: string, reference: string): DistributionError {
  return new DistributionError('MANIFEST_UNKNOWN', `${repository} has no ${reference}`);
}
