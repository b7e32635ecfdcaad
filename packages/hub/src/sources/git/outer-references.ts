import { posix } from 'node:path';

const maxReferringBytes = 256 * 1024;
/** Files that can name others outside of their folder. */
const referring = new Set(['kustomization.yaml', 'kustomization.yml', 'Kustomization', 'Chart.yaml']);

export function canReferTo(path: string, bytes: number): boolean {
  return referring.has(posix.basename(path)) && bytes <= maxReferringBytes;
}

/** Whether a path is one of the folders, or in one. */
export function isCovered(path: string, folders: readonly string[]): boolean {
  return folders.some((folder) => folder === '.' || path === folder || path.startsWith(`${folder}/`));
}

/**
 * Of the texts in a file, the paths in the repository that they can mean and that lie outside of the file's folder. Rather too many: a path
 * that is not there is of no harm.
 */
export function referencesIn(file: string, texts: readonly string[]): string[] {
  const folder = posix.dirname(file);
  const found = new Set<string>();
  for (const text of texts) {
    const path = text.startsWith('file://') ? text.slice('file://'.length) : text;
    if (path.startsWith('/') || path.includes('://') || path.length > 1000) continue;
    const target = posix.join(folder, path).replace(/\/$/, '');
    if (target === '..' || target.startsWith('../') || isCovered(target, [folder])) continue;
    if (path.includes('..') && target !== '.') found.add(target);
  }
  return [...found];
}
