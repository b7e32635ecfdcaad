import { StatusError } from '@selvedge/api';

/** A path below /api/v1 or /apis/GROUP/VERSION, taken apart. */
export interface ResourcePath {
  readonly group: string;
  readonly version: string;
  readonly plural: string;
  readonly namespace?: string;
  readonly name?: string;
  readonly subresource?: string;
}

const namespaceSubresources = new Set(['status', 'finalize']);

/** `undefined` for paths that name no resource (discovery, health, OpenAPI). */
export function parseResourcePath(path: string): ResourcePath | undefined {
  const parts = path
    .split('/')
    .filter((part) => part !== '')
    .map(decodePart);
  const [root, ...rest] = parts;
  const [group, version, ...place] = root === 'api' ? ['', ...rest] : root === 'apis' ? rest : [];
  if (group === undefined || version === undefined || place.length === 0) return undefined;
  const [first, second, third] = place;
  const isNamespaced = first === 'namespaces' && third !== undefined && !namespaceSubresources.has(third);
  const [plural = '', name, subresource, ...more] = isNamespaced ? place.slice(2) : place;
  if (more.length > 0) return undefined;
  return {
    group,
    version,
    plural,
    ...(isNamespaced && second !== undefined ? { namespace: second } : {}),
    ...(name === undefined ? {} : { name }),
    ...(subresource === undefined ? {} : { subresource }),
  };
}

function decodePart(part: string): string {
  try {
    return decodeURIComponent(part);
  } catch (cause) {
    throw new StatusError('BadRequest', `the path has a wrong escape sequence: ${part}`, { cause });
  }
}
