import { lstat, readdir, readlink, realpath, rm } from 'node:fs/promises';
import { dirname, join, relative, resolve, sep } from 'node:path';
import { SourceError } from '../source-reading.ts';

/** Whether a path, already without links, is the folder or in it. */
export function isInside(folder: string, path: string): boolean {
  return path === folder || path.startsWith(folder.endsWith(sep) ? folder : folder + sep);
}

/**
 * The real path of something in a folder, wherever links lead to. Throws `SourceError`: `NotFound`, or `RenderFailed` when it lies
 * outside of the folder. `root` is a real path.
 */
export async function resolveInside(root: string, path: string): Promise<string> {
  const wanted = resolve(root, path);
  if (path.startsWith('/') || path.includes('\0') || !isInside(root, wanted)) throw outside(path);
  let found: string;
  try {
    found = await realpath(wanted);
  } catch {
    throw new SourceError('NotFound', `There is no "${path}" at this revision: check the path.`);
  }
  if (!isInside(root, found)) throw outside(path);
  return found;
}

function outside(path: string): SourceError {
  return new SourceError('RenderFailed', `"${path}" leads out of the source: nothing outside of it is read.`);
}

export interface FoundFile {
  /** Relative to the root, with `/`. */
  readonly path: string;
  readonly bytes: number;
}

const maxEntries = 50_000;

/**
 * Every file below a folder, sorted by path; links are named as files where they lead to one in the root. Links that lead out of
 * `root` are deleted, since programs would follow them, and reported. Throws `SourceError` when there are too many.
 */
export async function takeStock(
  root: string,
  folder: string,
): Promise<{ files: FoundFile[]; outside: string[] }> {
  const files: FoundFile[] = [];
  const outsideLinks: string[] = [];
  let entries = 0;
  const walk = async (directory: string): Promise<void> => {
    for (const entry of await readdir(directory, { withFileTypes: true })) {
      entries += 1;
      if (entries > maxEntries) {
        throw new SourceError(
          'LimitExceeded',
          `There are more than ${maxEntries} files: name a smaller path.`,
        );
      }
      const path = join(directory, entry.name);
      const name = relative(root, path).split(sep).join('/');
      if (entry.isDirectory()) await walk(path);
      else if (entry.isFile()) files.push({ path: name, bytes: (await lstat(path)).size });
      else if (entry.isSymbolicLink() && (await leadsInside(root, path))) {
        const target = await lstat(await realpath(path));
        if (target.isFile()) files.push({ path: name, bytes: target.size });
      } else {
        // Also sockets, devices, and links that lead nowhere: of no use to anybody.
        await rm(path, { force: true });
        outsideLinks.push(name);
      }
    }
  };
  await walk(folder);
  return { files: files.toSorted((a, b) => (a.path < b.path ? -1 : 1)), outside: outsideLinks };
}

async function leadsInside(root: string, link: string): Promise<boolean> {
  // Each step counts: a link may lead to a link that leads out and back again.
  const step = resolve(dirname(link), await readlink(link));
  if (!isInside(root, step)) return false;
  try {
    return isInside(root, await realpath(link));
  } catch {
    return false;
  }
}
