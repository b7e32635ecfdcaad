import { readFile } from 'node:fs/promises';
import { DistributionError } from '../distribution-error.ts';

/**
 * Reads `name=value` lines; read at each use, so that credentials can be changed while the hub runs. Other lines mean nothing. Throws DistributionError, without
 * what stands in the file.
 */
export async function readCredentialsFile<Name extends string>(
  path: string,
  names: readonly Name[],
): Promise<Record<Name, string>> {
  let text: string;
  try {
    text = await readFile(path, 'utf8');
  } catch (cause) {
    throw unusable(path, 'cannot be read', cause);
  }
  const found = new Map<string, string>();
  for (const line of text.split('\n')) {
    const [, name = '', value = ''] = /^\s*(\w+)\s*=\s*(\S+)\s*$/.exec(line) ?? [];
    found.set(name, value);
  }
  const missing = names.filter((name) => !found.get(name));
  if (missing.length > 0)
    throw unusable(path, `has no line ${missing.map((name) => `${name}=…`).join(', ')}`);
  return Object.fromEntries(names.map((name) => [name, found.get(name)])) as Record<Name, string>;
}

function unusable(path: string, why: string, cause?: unknown): DistributionError {
  return new DistributionError('UNAVAILABLE', `the file of --registry-storage-credentials ${why}: ${path}`, {
    cause,
  });
}
