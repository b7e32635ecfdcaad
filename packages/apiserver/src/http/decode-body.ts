import { badRequest, isObject, maxDepth, StatusError } from '@selvedge/api';
import { parse as parseYaml } from 'yaml';
import { scanJson } from './json-scan.ts';
import { type MediaType, parseMediaTypes } from './negotiate.ts';
import { decodeProtobuf } from './protobuf-body.ts';

export interface DecodedBody {
  readonly value: unknown;
  /** Fields that stood twice; the last one counted. */
  readonly duplicateFields: readonly string[];
}

/** YAML is slow to parse: kubectl sends JSON, whatever the file was. */
const maxYamlBytes = 256 * 1024;

const jsonTypes = new Set([
  'application/json',
  'application/json-patch+json',
  'application/merge-patch+json',
  'application/strategic-merge-patch+json',
]);
const yamlTypes = new Set([
  'application/yaml',
  'application/x-yaml',
  'text/yaml',
  'application/apply-patch+yaml',
]);
const protobufType = 'application/vnd.kubernetes.protobuf';

export function mediaTypeOf(header: string | undefined): MediaType {
  return parseMediaTypes(header)[0] ?? { type: 'application/json', parameters: {} };
}

/** Throws `BadRequest` for what cannot be read, `UnsupportedMediaType` for a type that the server does not know. */
export function decodeBody(bytes: Buffer, { type }: MediaType): DecodedBody {
  if (type === protobufType) return { value: checked(decodeProtobuf(bytes)), duplicateFields: [] };
  if (jsonTypes.has(type)) return decodeJson(bytes);
  if (yamlTypes.has(type)) return decodeYaml(bytes);
  throw new StatusError(
    'UnsupportedMediaType',
    `the body of the request was in an unknown format: ${type}; accepted are ${[...jsonTypes, ...yamlTypes, protobufType].join(', ')}`,
  );
}

function decodeJson(bytes: Buffer): DecodedBody {
  const text = decodeText(bytes);
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (cause) {
    throw badRequest(`the body is not valid JSON${position(cause)}`, cause);
  }
  const { duplicates, isTooDeep, hasPrototypeKey } = scanJson(text);
  if (isTooDeep) throw tooDeep();
  if (hasPrototypeKey) throw prototypeKey();
  return { value, duplicateFields: duplicates };
}

/** The parser's message quotes the text, which may be a secret. */
function position(error: unknown): string {
  const match = /position \d+( \(line \d+ column \d+\))?/.exec(String(error));
  return match ? ` at ${match[0]}` : '';
}

/** JSON is YAML too, and much faster to read as what it is: kubectl sends apply configurations so. */
function decodeYaml(bytes: Buffer): DecodedBody {
  const text = decodeText(bytes);
  if (/^\s*[{[]/.test(text)) {
    try {
      JSON.parse(text);
      return decodeJson(bytes);
    } catch {
      // Flow style YAML begins like JSON.
    }
  }
  if (bytes.length > maxYamlBytes) {
    throw new StatusError(
      'RequestEntityTooLarge',
      `a YAML body may have at most ${maxYamlBytes} bytes: send it as JSON`,
    );
  }
  try {
    const options = { version: '1.1', uniqueKeys: true, maxAliasCount: 100, logLevel: 'error' } as const;
    return { value: checked(parseYaml(text, options)), duplicateFields: [] };
  } catch (cause) {
    if (cause instanceof StatusError) throw cause;
    const { name, code, linePos } = cause as { name?: string; code?: string; linePos?: { line: number }[] };
    const line = linePos?.[0] ? ` in line ${linePos[0].line}` : '';
    throw badRequest(`the body is not valid YAML${line}: ${code ?? describeFault(name, cause)}`, cause);
  }
}

const describeFault = (name: string | undefined, cause: unknown): string =>
  name === 'ReferenceError'
    ? 'its aliases expand to too much'
    : cause instanceof Error
      ? cause.name
      : 'error';

function decodeText(bytes: Buffer): string {
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(bytes);
  } catch (cause) {
    throw badRequest('the body is not valid UTF-8', cause);
  }
}

/** No value may be deeper than walks over it can follow, or name the prototype of objects. */
function checked(value: unknown, depth = 0): unknown {
  if (depth > maxDepth) throw tooDeep();
  if (Array.isArray(value)) for (const item of value) checked(item, depth + 1);
  else if (isObject(value)) {
    for (const [name, child] of Object.entries(value)) {
      if (name === '__proto__') throw prototypeKey();
      checked(child, depth + 1);
    }
  }
  return value;
}

const prototypeKey = () => badRequest('a field cannot have the name "__proto__"');
const tooDeep = () => badRequest(`the body is nested more than ${maxDepth} levels deep`);
