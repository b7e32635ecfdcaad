import { lstat, mkdir, readdir } from 'node:fs/promises';
import { join } from 'node:path';
import type { Application, HelmSource, KubeObject, ObjectClient, Site } from '@selvedge/api';
import { resolveInside, takeStock } from '../folder/inner-path.ts';
import { unpackArchive } from '../folder/unpack-archive.ts';
import type { WorkFolders } from '../folder/work-folders.ts';
import type { GitRepositories } from '../git-repositories.ts';
import type { ChartRepositories } from '../helm/chart-repositories.ts';
import { checkCombinations, combinationsToKeep, helmCombinations } from '../helm/helm-combinations.ts';
import { renderChart } from '../helm/helm-template.ts';
import { findValueVersions, readHelmValues, withoutHidden } from '../helm/helm-values.ts';
import { presentSource } from '../source-content.ts';
import { type AddedReading, SourceError, type SourceReader, type SourceReading } from '../source-reading.ts';
import { gitRequest } from './git-source-reader.ts';

export interface HelmSourceReaderParts {
  readonly client: Pick<ObjectClient, 'find'>;
  readonly charts: ChartRepositories;
  readonly git?: GitRepositories | undefined;
  readonly folders: WorkFolders;
  readonly sites: () => readonly Site[];
  /** `helm`, or the path of it. */
  readonly program: string;
  /** As in `FolderRequest`. */
  readonly allowsNetwork?: boolean;
}

/** Sources of kind helm: a chart, rendered with the values of the source, and for every combination of overrides that meets at a site. */
export class HelmSourceReader implements SourceReader {
  readonly #parts: HelmSourceReaderParts;

  constructor(parts: HelmSourceReaderParts) {
    this.#parts = parts;
  }

  isLacking(application: Application): boolean {
    const rendered = presentSource(application)?.variants ?? [];
    const known = new Set(rendered.map(({ overrides }) => overrides.join('+')));
    return helmCombinations(application, this.#parts.sites()).some((names) => !known.has(names.join('+')));
  }

  async findRevision(application: Application, signal: AbortSignal): Promise<string> {
    const versions = await findValueVersions(this.#parts.client, application);
    return revisionOf(await this.#findName(application, signal), versions);
  }

  async read(application: Application, signal: AbortSignal): Promise<SourceReading> {
    const combinations = this.#combinations(application);
    const { revision, rendered } = await this.#renderAll(application, [[], ...combinations], signal);
    const [manifests = [], ...others] = rendered;
    const variants = combinations.map((overrides, index) => ({
      overrides,
      manifests: others[index] ?? [],
    }));
    return { revision, manifests, variants };
  }

  async readLacking(application: Application, signal: AbortSignal): Promise<AddedReading> {
    const present = presentSource(application)?.variants ?? [];
    const digests = new Map(present.map(({ overrides, digest }) => [overrides.join('+'), digest]));
    const needed = this.#combinations(application);
    const lacking = needed.filter((names) => !digests.has(names.join('+')));
    const { revision, rendered } = await this.#renderAll(application, lacking, signal);
    const added = new Map(lacking.map((names, index) => [names.join('+'), rendered[index] ?? []]));
    const wanted = combinationsToKeep(
      present.map(({ overrides }) => overrides),
      needed,
    );
    const variants = wanted.map((overrides) => {
      const digest = digests.get(overrides.join('+'));
      return digest === undefined
        ? { overrides, manifests: added.get(overrides.join('+')) ?? [] }
        : { overrides, digest };
    });
    return { revision, variants };
  }

  #combinations(application: Application): string[][] {
    const combinations = helmCombinations(application, this.#parts.sites());
    checkCombinations(combinations);
    return combinations;
  }

  /** What the chart gives with the values of each of these lists of overrides, all from one copy of it. */
  async #renderAll(
    application: Application,
    combinations: readonly (readonly string[])[],
    signal: AbortSignal,
  ): Promise<{ revision: string; rendered: KubeObject[][] }> {
    const { client, folders } = this.#parts;
    const values = await readHelmValues(client, application, signal);
    try {
      return await folders.use(async (folder) => {
        const chart = join(folder, 'chart');
        await mkdir(chart);
        const { name, path } = await this.#fetchChart(application, chart, signal);
        const rendered: KubeObject[][] = [];
        for (const names of combinations) {
          const layers = [...values.layers, ...overrideValues(application, names)];
          rendered.push(await this.#render(application, { folder, chart: path, values: layers, signal }));
        }
        return { revision: revisionOf(name, values.versions), rendered };
      });
    } catch (error) {
      throw withoutHidden(error, values.hidden);
    }
  }

  /** `NAME@VERSION`, or the revision of git. */
  async #findName(application: Application, signal: AbortSignal): Promise<string> {
    const { git } = helmOf(application);
    if (git) return (await this.#git().findCommit(gitRequest(application, git, signal))).revision;
    const { name, version } = await this.#parts.charts.find({ application, signal });
    return `${name}@${version}`;
  }

  /** Puts the chart below a folder; resolves to where its Chart.yaml stands. */
  async #fetchChart(
    application: Application,
    folder: string,
    signal: AbortSignal,
  ): Promise<{ name: string; path: string }> {
    const { git } = helmOf(application);
    if (git) {
      const request = gitRequest(application, git, signal);
      const { commit, revision } = await this.#git().findCommit(request);
      await this.#git().checkOut({ ...request, commit, folder });
      const path = await resolveInside(folder, git.path ?? '.');
      await checkChart(folder, path, `"${git.path ?? '.'}"`);
      return { name: revision, path };
    }
    const found = await this.#parts.charts.find({ application, signal });
    await unpackArchive(await found.fetch(), folder);
    // A packed chart is one folder, named like the chart.
    const [first, ...others] = await readdir(folder);
    if (first === undefined || others.length > 0) {
      throw new SourceError('RenderFailed', `The file of ${found.name}@${found.version} is no packed chart.`);
    }
    await checkChart(folder, join(folder, first), `${found.name}@${found.version}`);
    return { name: `${found.name}@${found.version}`, path: join(folder, first) };
  }

  async #render(
    { metadata, spec }: Application,
    at: { folder: string; chart: string; values: readonly Record<string, unknown>[]; signal: AbortSignal },
  ): Promise<KubeObject[]> {
    return renderChart({
      ...at,
      program: this.#parts.program,
      allowsNetwork: this.#parts.allowsNetwork ?? false,
      releaseName: spec.source.helm?.releaseName ?? metadata.name,
      namespace: metadata.namespace ?? '',
    });
  }

  #git(): GitRepositories {
    const { git } = this.#parts;
    if (!git) throw new SourceError('ProgramMissing', 'This hub reads no git repositories.');
    return git;
  }
}

function helmOf({ spec }: Application): HelmSource {
  const { helm } = spec.source;
  if (!helm) throw new TypeError('no source of kind helm');
  return helm;
}

/** Versions of the objects with values, and nothing of what is in them. */
function revisionOf(name: string, versions: readonly string[]): string {
  return versions.length === 0 ? name : `${name}+values.${versions.join('.')}`;
}

function overrideValues({ spec }: Application, names: readonly string[]): Record<string, unknown>[] {
  return (spec.overrides ?? []).flatMap(({ name, helmValues }) =>
    helmValues !== undefined && names.includes(name) ? [helmValues as Record<string, unknown>] : [],
  );
}

/** Helm follows links wherever they lead, so none may be left that leads out. */
async function checkChart(root: string, chart: string, what: string): Promise<void> {
  const { outside } = await takeStock(root, root);
  const inChart = outside.find((name) => join(root, name).startsWith(`${chart}/`));
  if (inChart !== undefined) {
    throw new SourceError(
      'RenderFailed',
      `"${inChart}" leads out of the source: nothing outside of it is read.`,
    );
  }
  const isFile = await lstat(join(chart, 'Chart.yaml')).then(
    (found) => found.isFile(),
    () => false,
  );
  if (!isFile) throw new SourceError('NotFound', `There is no Chart.yaml in ${what}: it is no Helm chart.`);
}
