import { StatusError } from '@selvedge/api';

/** A path below /api/v1 or /apis/GROUP/VERSION, taken apart. */
export interface ResourcePath {
  readonly group: string;
  readonly version: string;
  readonly plural: string;
  readonly namespace?: string;
  readonly name?: string;
  readonly subresource?: string;
  /** Of a subresource that hands requests on: the path below it, as it was sent; '' or `/…`. */
  readonly below?: string;
}

const namespaceSubresources = new Set(['status', 'finalize']);

/** As many segments as name anything of ours: `apis/GROUP/VERSION/namespaces/NAME/PLURAL/NAME/SUBRESOURCE`. */
const maxSegments = 8;

/**
 * `undefined` for paths that name no resource (discovery, health, OpenAPI).
 * @param handsOn whether there may be a path below this subresource.
 */
export function parseResourcePath(
  path: string,
  handsOn: (path: ResourcePath) => boolean = () => false,
): ResourcePath | undefined {
  const segments = [...path.matchAll(/[^/]+/g)];
  const parts = segments.slice(0, maxSegments).map(([segment]) => decodePart(segment));
  const [root, ...rest] = parts;
  const [group, version, ...place] = root === 'api' ? ['', ...rest] : root === 'apis' ? rest : [];
  if (group === undefined || version === undefined || place.length === 0) return undefined;
  const [first, second, third] = place;
  const isNamespaced = first === 'namespaces' && third !== undefined && !namespaceSubresources.has(third);
  const [plural = '', name, subresource] = isNamespaced ? place.slice(2) : place;
  const found: ResourcePath = {
    group,
    version,
    plural,
    ...(isNamespaced && second !== undefined ? { namespace: second } : {}),
    ...(name === undefined ? {} : { name }),
    ...(subresource === undefined ? {} : { subresource }),
  };
  const depth = parts.length - place.length + (isNamespaced ? 5 : 3);
  const last = segments[depth - 1];
  if (last !== undefined && handsOn(found)) {
    return { ...found, below: path.slice(last.index + last[0].length) };
  }
  return segments.length > depth ? undefined : found;
}

function decodePart(part: string): string {
  try {
    return decodeURIComponent(part);
  } catch (cause) {
    throw new StatusError('BadRequest', `the path has a wrong escape sequence: ${part}`, { cause });
  }
}
