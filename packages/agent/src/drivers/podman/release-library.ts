import type { KubeObject, SecretValue } from '@selvedge/api';
import type { DriverItem } from '../driver.ts';
import type { FindSecrets } from '../find-secrets.ts';
import type { Refusal } from '../item-state.ts';
import { type AppOrRefusal, loadApp } from './app-loader.ts';
import type { DesiredApp, Workload } from './desired-app.ts';
import { type ItemRecord, type ReleaseRef, refOf, releaseKey } from './item-record.ts';
import type { RuntimeCapabilities } from './runtime-capabilities.ts';

type Secrets = ReadonlyMap<string, SecretValue>;

/** What a pod was made of. */
export interface KnownTemplate {
  readonly workload: Workload;
  readonly app: DesiredApp;
  readonly ref: ReleaseRef;
}

export interface ReleaseLibraryOptions {
  readonly capabilities: RuntimeCapabilities;
  /** Local content of a release that is not wanted any more. */
  findManifests(digest: string): Promise<readonly KubeObject[] | undefined>;
  readonly findSecrets: FindSecrets;
}

/** The releases of one item that matter now, read and understood: the wanted one, the one in force, those with pods left. */
export class ReleaseLibrary {
  readonly #options: ReleaseLibraryOptions;
  readonly #releases = new Map<string, AppOrRefusal>();
  #contentError: string | undefined;

  constructor(options: ReleaseLibraryOptions) {
    this.#options = options;
  }

  /** Why the wanted release's manifests cannot be read. */
  get contentError(): string | undefined {
    return this.#contentError;
  }

  has(ref: ReleaseRef): boolean {
    return this.#releases.has(releaseKey(ref));
  }

  appOf(ref: ReleaseRef | undefined): DesiredApp | undefined {
    return ref && this.#releases.get(releaseKey(ref))?.app;
  }

  refusalOf(ref: ReleaseRef): Refusal | undefined {
    return this.#releases.get(releaseKey(ref))?.refusal;
  }

  /** Reads what is missing; never throws. */
  async load(wanted: DriverItem | undefined, record: ItemRecord): Promise<void> {
    if (wanted && !this.has(refOf(wanted))) {
      try {
        this.#add({ ...refOf(wanted), secrets: wanted.secrets }, await wanted.manifests());
        this.#contentError = undefined;
      } catch (error) {
        this.#contentError = error instanceof Error ? error.message : String(error);
      }
    }
    for (const ref of [record.active, ...record.earlier]) {
      if (!ref || this.has(ref)) continue;
      // Without its values it is not understood: its pods are left as they are.
      const secrets = this.#options.findSecrets(ref.item.id, ref.secretVersions ?? {});
      if (secrets === undefined) continue;
      const manifests = await this.#options.findManifests(ref.item.digest).catch(() => undefined);
      if (manifests) this.#add({ ...ref, secrets }, manifests);
    }
  }

  /** By template hash: of the release in force, and of those whose pods may still run. */
  templates(record: ItemRecord): Map<string, KnownTemplate> {
    const templates = new Map<string, KnownTemplate>();
    for (const ref of [...record.earlier.toReversed(), record.active]) {
      const app = this.appOf(ref);
      if (!ref || !app) continue;
      for (const workload of app.workloads) templates.set(workload.hash, { workload, app, ref });
    }
    return templates;
  }

  /** Drops releases, also from the record, of which there are no pods any more. */
  forget(
    wanted: DriverItem | undefined,
    { record, hashes }: { record: ItemRecord; hashes: ReadonlySet<string> },
  ): void {
    const hasPods = (ref: ReleaseRef) =>
      this.appOf(ref)?.workloads.some((workload) => hashes.has(workload.hash)) ?? hashes.size > 0;
    const kept = new Set(record.active ? [releaseKey(record.active)] : []);
    record.earlier = record.earlier.filter((ref) => {
      const key = releaseKey(ref);
      if (kept.has(key) || !hasPods(ref)) return false;
      kept.add(key);
      return true;
    });
    if (wanted) kept.add(releaseKey(refOf(wanted)));
    for (const key of this.#releases.keys()) if (!kept.has(key)) this.#releases.delete(key);
  }

  #add(ref: ReleaseRef & { secrets: Secrets }, manifests: readonly KubeObject[]): void {
    this.#releases.set(releaseKey(ref), loadApp(manifests, ref, this.#options.capabilities));
  }
}
