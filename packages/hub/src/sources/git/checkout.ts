import { mkdir, symlink, writeFile } from 'node:fs/promises';
import { dirname, join, posix } from 'node:path';
import { SourceError } from '../source-reading.ts';
import type { CachedRepository } from './cached-repository.ts';
import type { GitAccess, GitRemote } from './git-access.ts';
import { sourceErrorOf } from './git-faults.ts';
import type { GitProgram } from './git-program.ts';
import type { TreeEntry } from './git-tree.ts';
import { canReferTo, isCovered, referencesIn } from './outer-references.ts';
import type { RepositoryCache } from './repository-cache.ts';
import { findSubmodule, type GitModules, readGitModules, submoduleRemote } from './submodules.ts';

export interface CheckoutLimits {
  /** Bytes of all files that are written. */
  readonly checkoutBytes: number;
  /** Files that are written. */
  readonly files: number;
}

export interface CheckoutTools {
  readonly cache: RepositoryCache;
  readonly access: GitAccess;
  readonly git: GitProgram;
  readonly limits: CheckoutLimits;
}

export interface CommitRequest {
  readonly remote: GitRemote;
  readonly commit: string;
  /** Full name of the ref that the commit is the head of; for servers that give out nothing else. */
  readonly ref?: string;
  /** Folder that is wanted; `.` is all. */
  readonly path: string;
}

interface Part extends CommitRequest {
  /** Where in the folder the repository begins; submodules are below. */
  readonly base: string;
  readonly depth: number;
}

const maxSubmodules = 20;
const maxDepth = 4;
/** Each is looked for by a call of git. */
const maxReferences = 200;
/** So many bytes are in memory at once. */
const batchBytes = 4 * 1024 ** 2;
const lfsPointer = 'version https://git-lfs.github.com/spec/';

/**
 * Writes a commit's files into a folder, once. git itself never touches that folder: no filter, hook or attribute has a say, and a file is
 * what its bytes in the repository are.
 */
export class Checkout {
  readonly #tools: CheckoutTools;
  readonly #folder: string;
  readonly #withSubmodules: boolean;
  readonly #signal: AbortSignal;
  readonly #written = new Set<string>();
  /** Written last: before that, no path here can lead elsewhere. */
  readonly #links: { path: string; target: string }[] = [];
  #bytes = 0;
  #submodules = 0;

  constructor(
    tools: CheckoutTools,
    { folder, withSubmodules, signal }: { folder: string; withSubmodules: boolean; signal: AbortSignal },
  ) {
    this.#tools = tools;
    this.#folder = folder;
    this.#withSubmodules = withSubmodules;
    this.#signal = signal;
  }

  /** Throws SourceError. */
  async write(request: CommitRequest): Promise<void> {
    await this.#writePart({ ...request, base: '', depth: 0 });
    for (const { path, target } of this.#links) {
      const file = await this.#prepareFile(path);
      await symlink(target, file);
    }
  }

  async #writePart(part: Part): Promise<void> {
    const { remote, commit } = part;
    try {
      const inner = await this.#tools.cache.use(remote, commit, async (repository) => {
        await this.#ensureCommit(repository, part);
        return this.#writeFiles(repository, part);
      });
      for (const next of inner) await this.#writePart(next);
    } catch (error) {
      throw sourceErrorOf(error, remote);
    }
  }

  async #ensureCommit(repository: CachedRepository, { remote, commit, ref }: Part): Promise<void> {
    const signal = this.#signal;
    if (await repository.hasCommit(commit, signal)) return;
    await this.#tools.access.reach(remote, async (how) => {
      try {
        await repository.fetchCommit({ commit }, how, signal);
      } catch (error) {
        if (ref === undefined || sourceErrorOf(error, remote).fault !== 'NotFound') throw error;
        await repository.fetchCommit({ commit, ref }, how, signal);
      }
    });
    if (await repository.hasCommit(commit, signal)) return;
    throw new SourceError(
      'SourceUnavailable',
      `${remote.address.url} moved on while it was read: it is read again.`,
    );
  }

  /** Writes what is wanted of one repository; what is to come from submodules is returned. */
  async #writeFiles(repository: CachedRepository, part: Part): Promise<Part[]> {
    const { commit, path } = part;
    const covered: string[] = [];
    const submodules: TreeEntry[] = [];
    const wanted = [path];
    for (let next = wanted.shift(); next !== undefined; next = wanted.shift()) {
      if (isCovered(next, covered)) continue;
      if (covered.length > maxReferences) {
        throw new SourceError(
          'LimitExceeded',
          `More than ${maxReferences} references lead out of their folders: name a path that holds them.`,
        );
      }
      const found = await repository.list(commit, next, this.#signal);
      covered.push(next);
      const isThere = found.some(
        (entry) => next === '.' || entry.path === next || entry.path.startsWith(`${next}/`),
      );
      if (!isThere && next === path && path !== '.') return this.#inSubmodule(repository, part);
      const entries = found.filter((entry) => !this.#written.has(join(part.base, entry.path)));
      submodules.push(...entries.filter(({ kind }) => kind === 'submodule'));
      wanted.push(...(await this.#writeEntries(repository, { part, entries })));
    }
    if (!this.#withSubmodules || submodules.length === 0) return [];
    const modules = await this.#readModules(repository, part);
    return submodules.flatMap((entry) => this.#submodulePart(part, { entry, modules, path: '.' }));
  }

  /** The wanted folder is not in the repository itself: perhaps in a submodule. */
  async #inSubmodule(repository: CachedRepository, part: Part): Promise<Part[]> {
    const { commit, path, remote } = part;
    for (let outer = posix.dirname(path); outer !== '.'; outer = posix.dirname(outer)) {
      const entries = await repository.list(commit, outer, this.#signal);
      const entry = entries.find((found) => found.kind === 'submodule' && found.path === outer);
      if (entry === undefined) continue;
      if (!this.#withSubmodules) {
        throw new SourceError(
          'NotFound',
          `"${outer}" is a submodule: set submodules to true to read "${path}" in it.`,
        );
      }
      const modules = await this.#readModules(repository, part);
      return this.#submodulePart(part, { entry, modules, path: posix.relative(outer, path) });
    }
    throw new SourceError('NotFound', `${remote.address.url} has no "${path}" at ${commit}: check path.`);
  }

  async #readModules(repository: CachedRepository, part: Part): Promise<GitModules> {
    const [entry] = await repository.list(part.commit, '.gitmodules', this.#signal);
    if (entry?.kind !== 'file') return [];
    await this.#ensureBlobs(repository, { part, oids: [entry.oid] });
    return readGitModules({
      repository,
      oid: entry.oid,
      git: this.#tools.git,
      folder: this.#folder,
      signal: this.#signal,
    });
  }

  #submodulePart(
    part: Part,
    { entry, modules, path }: { entry: TreeEntry; modules: GitModules; path: string },
  ): Part[] {
    // A submodule that .gitmodules does not name is none that anybody could read.
    const found = findSubmodule(modules, entry.path);
    if (found === undefined) return [];
    this.#submodules += 1;
    if (this.#submodules > maxSubmodules || part.depth >= maxDepth) {
      throw new SourceError(
        'LimitExceeded',
        `There are more than ${maxSubmodules} submodules, or deeper than ${maxDepth}.`,
      );
    }
    const remote = submoduleRemote(found.url, { parent: part.remote, path: entry.path });
    return [{ remote, commit: entry.oid, path, base: join(part.base, entry.path), depth: part.depth + 1 }];
  }

  /** Returns what the files and links point at elsewhere in the repository. */
  async #writeEntries(
    repository: CachedRepository,
    { part, entries }: { part: Part; entries: readonly TreeEntry[] },
  ): Promise<string[]> {
    const contents = entries.filter(({ kind }) => kind !== 'submodule');
    const oids = [...new Set(contents.map(({ oid }) => oid))];
    const sizes = await this.#ensureBlobs(repository, { part, oids });
    const byOid = Map.groupBy(contents, ({ oid }) => oid);
    for (const entry of contents) this.#count(entry, sizes.get(entry.oid) ?? 0);
    const outer: string[] = [];
    for (const batch of batches(oids, sizes)) {
      const read: [TreeEntry, Buffer][] = [];
      const onBlob = (oid: string, content: Buffer) => {
        for (const entry of byOid.get(oid) ?? []) read.push([entry, Buffer.from(content)]);
      };
      await repository.readBlobs(batch, { onBlob, signal: this.#signal });
      for (const [entry, content] of read) outer.push(...(await this.#writeEntry(part, { entry, content })));
    }
    return outer;
  }

  async #writeEntry(
    part: Part,
    { entry, content }: { entry: TreeEntry; content: Buffer },
  ): Promise<string[]> {
    const path = join(part.base, entry.path);
    this.#written.add(path);
    if (entry.kind === 'link') {
      const target = content.toString('utf8');
      if (target === '' || target.includes('\0')) return [];
      this.#links.push({ path, target });
      return referencesIn(entry.path, [target]);
    }
    if (content.length < 1024 && isManifest(path) && content.toString('latin1').startsWith(lfsPointer)) {
      throw new SourceError(
        'RenderFailed',
        `"${path}" is kept in Git LFS, which is not read: commit the file itself.`,
      );
    }
    await writeFile(await this.#prepareFile(path), content, { flag: 'wx', mode: 0o644 });
    return canReferTo(entry.path, content.length)
      ? referencesIn(entry.path, content.toString('utf8').split(/[\s"',=[\]{}]+/))
      : [];
  }

  async #prepareFile(path: string): Promise<string> {
    const file = join(this.#folder, path);
    await mkdir(dirname(file), { recursive: true });
    return file;
  }

  #count({ path }: TreeEntry, bytes: number): void {
    const { files, checkoutBytes } = this.#tools.limits;
    this.#bytes += bytes;
    if (this.#written.size >= files) {
      throw new SourceError('LimitExceeded', `More than ${files} files are there: name a smaller path.`);
    }
    if (this.#bytes > checkoutBytes) {
      throw new SourceError(
        'LimitExceeded',
        `The files have more than ${checkoutBytes} bytes ("${path}" has ${bytes}): name a smaller path.`,
      );
    }
  }

  async #ensureBlobs(
    repository: CachedRepository,
    { part, oids }: { part: Part; oids: readonly string[] },
  ): Promise<ReadonlyMap<string, number>> {
    const signal = this.#signal;
    const here = await repository.blobSizes(oids, signal);
    const missing = oids.filter((oid) => !here.has(oid));
    if (missing.length === 0) return here;
    const { remote, commit, ref } = part;
    await this.#tools.access.reach(remote, async (how) => {
      try {
        await repository.fetchBlobs(missing, how, signal);
      } catch (error) {
        if (sourceErrorOf(error, remote).fault !== 'NotFound') throw error;
        // A server that gives out no single files: then all of the commit.
        await repository.discard();
        await repository.prepare(commit);
        await repository.fetchCommit(
          { commit, withFiles: true, ...(ref === undefined ? {} : { ref }) },
          how,
          signal,
        );
      }
    });
    const sizes = await repository.blobSizes(oids, signal);
    if (oids.every((oid) => sizes.has(oid))) return sizes;
    throw new SourceError('SourceUnavailable', `${remote.address.url} did not give all files of ${commit}.`);
  }
}

function* batches(oids: readonly string[], sizes: ReadonlyMap<string, number>): Generator<string[]> {
  let batch: string[] = [];
  let bytes = 0;
  for (const oid of oids) {
    batch.push(oid);
    bytes += sizes.get(oid) ?? 0;
    if (bytes < batchBytes && batch.length < 1000) continue;
    yield batch;
    batch = [];
    bytes = 0;
  }
  if (batch.length > 0) yield batch;
}

function isManifest(path: string): boolean {
  return /\.(?:ya?ml|json)$/i.test(path);
}
