import { readFile, realpath, stat } from 'node:fs/promises';
import { basename, join, relative, sep } from 'node:path';
import type { KubeObject } from '@selvedge/api';
import { maxTextCharacters, parseManifests } from '../manifests/parse-manifests.ts';
import { kustomizationFiles, runKustomize } from '../render/kustomize.ts';
import { SourceError } from '../source-reading.ts';
import { resolveInside, takeStock } from './inner-path.ts';

export interface FolderRequest {
  /** A folder of ours, in which nobody writes now; links that lead out of it are deleted. */
  readonly root: string;
  /** Relative to it: what is read. */
  readonly path: string;
  /** Of programs that render, where they cannot be kept from it. Default false: they are refused there. */
  readonly allowsNetwork?: boolean;
  readonly signal: AbortSignal;
}

/**
 * Manifests of a folder: what its kustomization gives, or else every .yaml, .yml and .json file in it and below, by path; names that
 * begin with a dot are left out. Throws `SourceError`.
 */
export async function readFolder({
  root,
  path,
  allowsNetwork = false,
  signal,
}: FolderRequest): Promise<KubeObject[]> {
  const realRoot = await realpath(root);
  const folder = await resolveInside(realRoot, path);
  if (!(await stat(folder)).isDirectory()) {
    throw new SourceError('NotFound', `"${path}" is a file: name the folder that it is in.`);
  }
  const stock = await takeStock(realRoot, realRoot);
  const inFolder = relative(realRoot, folder).split(sep).join('/');
  const isBelow = (name: string) => inFolder === '' || name.startsWith(`${inFolder}/`);
  const lost = stock.outside.filter(isBelow).find((name) => isManifestFile(name));
  if (lost !== undefined) {
    throw new SourceError(
      'RenderFailed',
      `"${lost}" leads out of the source: nothing outside of it is read.`,
    );
  }
  const names = new Set(stock.files.map((file) => file.path));
  const kustomization = kustomizationFiles.find((name) =>
    names.has(inFolder === '' ? name : `${inFolder}/${name}`),
  );
  if (kustomization !== undefined) return runKustomize({ root: realRoot, folder, allowsNetwork, signal });
  const files = stock.files.filter((file) => isBelow(file.path) && isManifestFile(file.path, inFolder));
  const bytes = files.reduce((sum, file) => sum + file.bytes, 0);
  if (bytes > maxTextCharacters) {
    throw new SourceError(
      'LimitExceeded',
      `The manifest files in "${path}" have ${bytes} bytes, the limit is ${maxTextCharacters}: split the application.`,
    );
  }
  const texts: { name: string; text: string }[] = [];
  for (const file of files) {
    signal.throwIfAborted();
    texts.push({ name: file.path, text: await readFile(join(realRoot, file.path), 'utf8') });
  }
  return parseManifests(texts, signal);
}

function isManifestFile(path: string, folder = ''): boolean {
  const inner = folder === '' ? path : path.slice(folder.length + 1);
  return (
    /\.(?:yaml|yml|json)$/i.test(basename(inner)) && !inner.split('/').some((part) => part.startsWith('.'))
  );
}
