import { readFile, rm, stat, writeFile } from 'node:fs/promises';
import { join, relative, sep } from 'node:path';
import { isObject, type KubeObject } from '@selvedge/api';
import { parseAllDocuments } from 'yaml';
import { resolveInside } from '../folder/inner-path.ts';
import { parseValueText } from '../manifests/manifest-texts.ts';
import { parseManifests } from '../manifests/parse-manifests.ts';
import { SourceError } from '../source-reading.ts';
import {
  checkKustomization,
  checkPlugin,
  KustomizationFault,
  refuseAddress,
  referenceFields,
} from './kustomization-fields.ts';
import { said } from './said.ts';
import { runProgram } from './run-program.ts';

/** What kustomize takes for a kustomization, in its order. */
export const kustomizationFiles = ['kustomization.yaml', 'kustomization.yml', 'Kustomization'] as const;

export interface KustomizeRequest {
  /** A real path, of a folder of ours: nothing outside of it is read, and the kustomizations in it are written anew. */
  readonly root: string;
  /** With the kustomization, in the root. */
  readonly folder: string;
  readonly program?: string;
  readonly allowsNetwork?: boolean;
  readonly signal: AbortSignal;
}

/** What `kubectl kustomize` makes of a folder. Throws `SourceError`. */
export async function runKustomize(request: KustomizeRequest): Promise<KubeObject[]> {
  const { root, folder, program = 'kubectl', allowsNetwork = false, signal } = request;
  await new CheckedKustomizations(root).check(folder);
  const name = nameIn(root, folder);
  const args = ['kustomize', '.'];
  const { code, stdout, stderr } = await runProgram({ program, args, folder, allowsNetwork, signal });
  if (code !== 0) {
    throw new SourceError('RenderFailed', `kustomize of "${name}" failed: ${said(stderr, root)}`);
  }
  return parseManifests([{ name: `what kustomize made of "${name}"`, text: stdout }], signal);
}

function nameIn(root: string, path: string): string {
  return relative(root, path).split(sep).join('/') || '.';
}

const maxKustomizations = 500;
/** It is read by the hub itself. */
const maxKustomizationBytes = 128 * 1024;

/** Entries of these stand for what generates and transforms: a file or folder with it, or its text. */
const pluginFields: ReadonlySet<string> = new Set(['generators', 'transformers', 'validators']);

interface Place {
  readonly folder: string;
  /** For people: file and field. */
  readonly where: string;
  readonly isPlugin: boolean;
}

/**
 * Refuses what a kustomization must not do here, before the program runs: fetch from elsewhere, inflate charts, take bases from outside.
 * What was checked is written back as JSON, so that kustomize, which reads YAML and names of fields in its own way, gets that and nothing else.
 */
class CheckedKustomizations {
  readonly #root: string;
  readonly #seen = new Set<string>();
  readonly #rest: string[] = [];

  constructor(root: string) {
    this.#root = root;
  }

  async check(first: string): Promise<void> {
    for (let folder: string | undefined = first; folder !== undefined; folder = this.#rest.pop()) {
      if (this.#seen.has(folder)) continue;
      this.#seen.add(folder);
      if (this.#seen.size > maxKustomizations) {
        throw new SourceError('LimitExceeded', `There are more than ${maxKustomizations} kustomizations.`);
      }
      await this.#checkFolder(folder);
    }
  }

  async #checkFolder(folder: string): Promise<void> {
    const { file, content } = await readKustomization(this.#root, folder);
    const name = nameIn(this.#root, join(folder, file));
    explained(name, () => checkKustomization(content));
    const checked: Record<string, unknown> = { ...content };
    for (const field of referenceFields) {
      const entries: unknown = content[field];
      if (!Array.isArray(entries)) continue;
      const place = { folder, where: `${name}: ${field}`, isPlugin: pluginFields.has(field) };
      const isPatch = field === 'patchesStrategicMerge';
      const kept: unknown[] = [];
      for (const entry of entries as unknown[]) {
        const text = String(entry);
        kept.push(isPatch && text.includes('\n') ? text : await this.#checkEntry(text, place));
      }
      checked[field] = kept;
    }
    // A link to a file that other folders share is replaced, not written through.
    const path = join(folder, file);
    await rm(path);
    await writeFile(path, JSON.stringify(checked), { flag: 'wx' });
  }

  /** @returns what kustomize is to read: a path that can be no address, or the text that stands for a file. */
  async #checkEntry(entry: string, { folder, where, isPlugin }: Place): Promise<string> {
    if (isPlugin && entry.includes('\n')) {
      checkPlugins(entry, where);
      return entry;
    }
    explained(where, () => refuseAddress(entry, `"${entry.slice(0, 200)}"`));
    const found = await this.#resolve(folder, entry, where);
    if ((await stat(found)).isDirectory()) this.#rest.push(found);
    else if (isPlugin) checkPlugins(await readSmallFile(found, where), where);
    const path = relative(folder, join(folder, entry)).split(sep).join('/');
    return path.startsWith('../') || path === '..' ? path : `./${path}`;
  }

  async #resolve(folder: string, entry: string, where: string): Promise<string> {
    if (entry.startsWith('/')) {
      throw new SourceError(
        'RenderFailed',
        `${where} names "${entry}": write a path relative to the folder.`,
      );
    }
    try {
      return await resolveInside(this.#root, nameIn(this.#root, join(folder, entry)));
    } catch (error) {
      if (!(error instanceof SourceError) || error.fault !== 'NotFound') throw error;
      throw new SourceError(
        'RenderFailed',
        `${where} names "${entry}", which is not in the source: nothing is fetched from elsewhere, so put it there.`,
      );
    }
  }
}

async function readKustomization(
  root: string,
  folder: string,
): Promise<{ file: string; content: Record<string, unknown> }> {
  const found: { file: string; path: string }[] = [];
  for (const file of kustomizationFiles) {
    try {
      found.push({ file, path: await resolveInside(root, nameIn(root, join(folder, file))) });
    } catch (error) {
      if (!(error instanceof SourceError && error.fault === 'NotFound')) throw error;
    }
  }
  const [first, ...others] = found;
  const where = `"${nameIn(root, folder)}"`;
  if (first === undefined) throw new SourceError('NotFound', `There is no kustomization.yaml in ${where}.`);
  if (others.length > 0) {
    const files = found.map(({ file }) => file).join(' and ');
    throw new SourceError('RenderFailed', `There are ${files} in ${where}: leave one of them.`);
  }
  const name = nameIn(root, join(folder, first.file));
  const parsed = parseValueText({ name, text: await readSmallFile(first.path, name) });
  if ('fault' in parsed) throw new SourceError(parsed.fault, `${parsed.message}.`);
  if (parsed.value !== null && !isObject(parsed.value)) {
    throw new SourceError('RenderFailed', `${name} is no kustomization: it must be an object.`);
  }
  return { file: first.file, content: parsed.value ?? {} };
}

async function readSmallFile(path: string, name: string): Promise<string> {
  if ((await stat(path)).size > maxKustomizationBytes) {
    throw new SourceError('LimitExceeded', `${name} is larger than ${maxKustomizationBytes} bytes.`);
  }
  return readFile(path, 'utf8');
}

/** Configurations of generators and transformers, as YAML documents. */
function checkPlugins(text: string, where: string): void {
  let values: unknown[];
  try {
    const documents = parseAllDocuments(text, { version: '1.1', logLevel: 'error' });
    values = 'empty' in documents ? [] : documents.map((one) => one.toJS({ maxAliasCount: 100 }) as unknown);
  } catch (cause) {
    throw new SourceError('RenderFailed', `${where}: its YAML cannot be read.`, { cause });
  }
  explained(where, () => values.forEach((value) => checkPlugin(value, '')));
}

function explained(where: string, check: () => void): void {
  try {
    check();
  } catch (error) {
    if (!(error instanceof KustomizationFault)) throw error;
    throw new SourceError('RenderFailed', `${where}: ${error.message}.`, { cause: error });
  }
}
