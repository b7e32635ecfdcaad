import type { Application, Clock, ObjectClient } from '@selvedge/api';
import { sha256Digest } from '@selvedge/api/node';
import type { ArtifactRegistry, ArtifactRequest } from '../artifact-registry.ts';
import { archiveLimits } from '../folder/unpack-archive.ts';
import { type GitSecrets, readGitSecrets } from '../git/git-secrets.ts';
import type { SourceHosts } from '../source-hosts.ts';
import { SourceError } from '../source-reading.ts';
import { refreshAnnotation } from '../source-spec.ts';
import { type ChartEntry, findChartEntries } from './chart-index.ts';
import { chooseVersion } from './chart-version.ts';
import { fetchDocument } from './fetch-document.ts';

export interface ChartRequest {
  readonly application: Application;
  readonly signal: AbortSignal;
}

/** A chart of a repository, in the version that is meant now. */
export interface FoundChart {
  readonly name: string;
  readonly version: string;
  /** The packed chart, verified where its digest is known. */
  fetch(): Promise<Uint8Array>;
}

const maxIndexBytes = 48 * 1024 * 1024;
/** An index that was read within this time will do, when nobody asked since. */
const freshMilliseconds = 20_000;
const maxIndexes = 20;
/** Of the texts of all indexes that are kept. */
const maxKeptCharacters = 64 * 1024 * 1024;
const chartTypes = ['application/vnd.cncf.helm.chart.content.v1.tar+gzip', 'application/tar+gzip'];

interface Index {
  readonly askedTime: number;
  readonly etag: string | undefined;
  readonly text: string;
  readonly charts: Map<string, Promise<ChartEntry[]>>;
}

interface HeldIndex {
  readonly fetching: Promise<Index>;
  characters: number;
}

/** Charts in repositories over https and in OCI registries. Throws `SourceError`. */
export class ChartRepositories {
  readonly #client: Pick<ObjectClient, 'find'>;
  readonly #clock: Clock;
  readonly #hosts: SourceHosts;
  readonly #artifacts: ArtifactRegistry | undefined;
  /** By address and rights; those asked for last stay. */
  readonly #indexes = new Map<string, HeldIndex>();

  constructor(parts: {
    client: Pick<ObjectClient, 'find'>;
    clock: Clock;
    hosts: SourceHosts;
    artifacts?: ArtifactRegistry | undefined;
  }) {
    this.#client = parts.client;
    this.#clock = parts.clock;
    this.#hosts = parts.hosts;
    this.#artifacts = parts.artifacts;
  }

  async find(request: ChartRequest): Promise<FoundChart> {
    const { repository = '' } = request.application.spec.source.helm ?? {};
    return repository.startsWith('oci://') ? this.#findInRegistry(request) : this.#findInIndex(request);
  }

  async #findInIndex({ application, signal }: ChartRequest): Promise<FoundChart> {
    const { repository = '', chart = '', version: range } = application.spec.source.helm ?? {};
    const base = URL.parse(repository.endsWith('/') ? repository : `${repository}/`);
    if (!base || base.username !== '' || base.password !== '') {
      throw new SourceError(
        'NotFound',
        'spec.source.helm.repository must be an https:// address, without credentials.',
      );
    }
    const secrets = await this.#secretsOf(application);
    const entries = await this.#entries(base, { application, secrets, chart, signal });
    const version = chooseVersion(
      entries.map((entry) => entry.version),
      { range, chart },
    );
    const entry = entries.find((candidate) => candidate.version === version);
    const address = URL.parse(entry?.urls[0] ?? '', base.href);
    if (!address) throw new SourceError('NotFound', `${base.host} names no file for ${chart} ${version}.`);
    const fetch = async () => {
      const isSameOrigin = address.origin === base.origin;
      const document = await fetchDocument(address, {
        ...this.#accessOf(isSameOrigin ? secrets : undefined),
        maxBytes: archiveLimits.packedBytes,
        signal,
      });
      const bytes = document?.bytes ?? new Uint8Array();
      if (entry?.digest !== undefined && sha256Digest(bytes) !== `sha256:${entry.digest}`) {
        throw new SourceError(
          'SourceUnavailable',
          `${address.host} gave ${chart} ${version} with another digest than its index says.`,
        );
      }
      return bytes;
    };
    return { name: chart, version, fetch };
  }

  async #entries(
    base: URL,
    options: ChartRequest & { secrets: GitSecrets; chart: string },
  ): Promise<readonly ChartEntry[]> {
    const { application, secrets, chart, signal } = options;
    const key = `${base.href} ${secrets.cacheScope}`;
    const index = await this.#index(base, key, { application, secrets, signal });
    const known = index.charts.get(chart);
    if (known) return known;
    const finding = findChartEntries(index.text, { chart, where: base.host, signal });
    index.charts.set(chart, finding);
    finding.catch(() => index.charts.delete(chart));
    return finding;
  }

  /** One fetch for all who ask at the same time. */
  async #index(
    base: URL,
    key: string,
    { application, secrets, signal }: ChartRequest & { secrets: GitSecrets },
  ): Promise<Index> {
    const wanted = Date.parse(application.metadata.annotations?.[refreshAnnotation] ?? '');
    const present = this.#indexes.get(key);
    const last = await present?.fetching.catch(() => undefined);
    const now = this.#clock.now().getTime();
    const isAsked = last !== undefined && wanted > last.askedTime && wanted <= now;
    if (last && now - last.askedTime < freshMilliseconds && !isAsked) return last;
    // Somebody else may have begun meanwhile.
    const newest = this.#indexes.get(key);
    if (newest !== undefined && newest !== present) return newest.fetching;
    const held: HeldIndex = { fetching: this.#fetchIndex(base, { secrets, last, signal }), characters: 0 };
    this.#indexes.delete(key);
    this.#indexes.set(key, held);
    held.fetching.then(
      ({ text }) => {
        held.characters = text.length;
        this.#makeRoom();
      },
      () => {
        if (this.#indexes.get(key) === held) this.#indexes.delete(key);
      },
    );
    return held.fetching;
  }

  async #fetchIndex(
    base: URL,
    { secrets, last, signal }: { secrets: GitSecrets; last: Index | undefined; signal: AbortSignal },
  ): Promise<Index> {
    const askedTime = this.#clock.now().getTime();
    const document = await fetchDocument(new URL('index.yaml', base), {
      ...this.#accessOf(secrets),
      etag: last?.etag,
      maxBytes: maxIndexBytes,
      signal,
    });
    if (!document && last) return { ...last, askedTime };
    const text = new TextDecoder().decode(document?.bytes ?? new Uint8Array());
    return { askedTime, etag: document?.etag, text, charts: new Map() };
  }

  /** Forgets the indexes that were not asked for the longest. */
  #makeRoom(): void {
    let characters = 0;
    for (const [count, [key, held]] of [...this.#indexes].toReversed().entries()) {
      characters += held.characters;
      if (count >= maxIndexes || characters > maxKeptCharacters) this.#indexes.delete(key);
    }
  }

  #accessOf(
    secrets: GitSecrets | undefined,
  ): Pick<Parameters<typeof fetchDocument>[1], 'hosts' | 'login' | 'authorities'> {
    return { hosts: this.#hosts, login: loginOf(secrets), authorities: secrets?.authorities };
  }

  async #findInRegistry({ application, signal }: ChartRequest): Promise<FoundChart> {
    const { repository = '', chart = '', version: range } = application.spec.source.helm ?? {};
    if (!this.#artifacts)
      throw new SourceError('ProgramMissing', 'This hub asks no registries: --no-registry-lookup.');
    const artifacts = this.#artifacts;
    const login = loginOf(await this.#secretsOf(application));
    const request: ArtifactRequest = {
      repository: `${repository.slice('oci://'.length).replace(/\/+$/, '')}/${chart}`,
      namespace: application.metadata.namespace ?? '',
      ...(login ? { login } : {}),
      signal,
    };
    // A tag cannot hold the + of a version.
    const tags = new Map((await artifacts.listTags(request)).map((tag) => [tag.replaceAll('_', '+'), tag]));
    const version = chooseVersion([...tags.keys()], { range, chart });
    const fetch = async () => {
      const digest = await artifacts.findDigest(request, tags.get(version) ?? version);
      const manifest = await artifacts.fetchManifest(request, digest);
      const layer = manifest.layers.find(({ mediaType }) => chartTypes.includes(mediaType));
      if (!layer) throw new SourceError('RenderFailed', `${request.repository}:${version} is no Helm chart.`);
      return artifacts.fetchBlob(request, layer.digest, archiveLimits.packedBytes);
    };
    return { name: chart, version, fetch };
  }

  #secretsOf({ metadata, spec }: Application): Promise<GitSecrets> {
    const { secretRef } = spec.source.helm ?? {};
    const source = secretRef ? { secretRef } : {};
    return readGitSecrets(this.#client, { source, namespace: metadata.namespace ?? '' });
  }
}

function loginOf(secrets: GitSecrets | undefined): { username: string; password: string } | undefined {
  const { username = '', password } = secrets ?? {};
  return password === undefined ? undefined : { username, password };
}
