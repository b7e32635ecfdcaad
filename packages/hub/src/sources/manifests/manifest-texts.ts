import { isObject, isDeeperThan, type KubeObject, maxDepth } from '@selvedge/api';
import { parseAllDocuments, type Tags } from 'yaml';
import type { SourceFault } from '../source-reading.ts';

/** A file, or what a program printed. */
export interface ManifestText {
  /** For people. */
  readonly name: string;
  readonly text: string;
}

export type ParsedTexts =
  | { readonly manifests: KubeObject[] }
  | { readonly fault: SourceFault; readonly message: string };

const maxManifests = 5_000;
/** Aliases may make a short text a large value. */
const maxValues = 500_000;
const maxAliases = 100;

/** What YAML 1.1 knows beside JSON, and Kubernetes' programs do not. */
const foreignTags = ['timestamp', 'binary', 'omap', 'pairs', 'set'].map((tag) => `tag:yaml.org,2002:${tag}`);

/**
 * Kubernetes objects of YAML documents and JSON, in order, lists taken apart, empty documents left out. YAML is read as kubectl
 * reads it. Takes long for large texts: called in a thread of its own.
 */
export function parseManifestTexts(texts: readonly ManifestText[]): ParsedTexts {
  const manifests: KubeObject[] = [];
  const known = { values: 0 };
  for (const { name, text } of texts) {
    try {
      for (const value of documentsOf(text)) {
        checkValue(value, known);
        for (const object of itemsOf(value)) manifests.push(toManifest(object));
        if (manifests.length > maxManifests) throw new TextFault('LimitExceeded', tooMany);
      }
    } catch (error) {
      return faultOf(error, name);
    }
  }
  return { manifests };
}

export type ParsedValue =
  | { readonly value: unknown }
  | { readonly fault: SourceFault; readonly message: string };

/** The one document of a text, whatever it is; `null` of an empty one. */
export function parseValueText({ name, text }: ManifestText): ParsedValue {
  try {
    const [value = null, ...others] = documentsOf(text);
    if (others.length > 0) throw new TextFault('RenderFailed', 'there is more than one document in it');
    checkValue(value, { values: 0 });
    return { value };
  } catch (error) {
    return faultOf(error, name);
  }
}

const tooMany = `there are more than ${maxManifests} manifests: split the application`;

class TextFault extends Error {
  readonly fault: SourceFault;

  constructor(fault: SourceFault, message: string) {
    super(message);
    this.fault = fault;
  }
}

function faultOf(error: unknown, name: string): { fault: SourceFault; message: string } {
  if (error instanceof TextFault) return { fault: error.fault, message: `${name}: ${error.message}` };
  const message =
    error instanceof Error ? (error.message.split('\n', 1)[0] ?? '').replace(/:$/, '') : String(error);
  // The parser calls itself for what stands in each other.
  if (error instanceof RangeError || message.startsWith('Maximum call stack')) {
    return { fault: 'LimitExceeded', message: `${name}: lists and objects stand too deep in each other` };
  }
  if (error instanceof ReferenceError && message.startsWith('Excessive alias')) {
    return {
      fault: 'LimitExceeded',
      message: `${name}: aliases repeat too much: write it out, or less of it`,
    };
  }
  return { fault: 'RenderFailed', message: `${name}: ${message}` };
}

function documentsOf(text: string): unknown[] {
  const json = text.trimStart().startsWith('{') ? parseJson(text) : undefined;
  if (json !== undefined) return [json];
  const documents = parseAllDocuments(text, {
    version: '1.1',
    customTags: withoutForeignTags,
    logLevel: 'error',
    prettyErrors: true,
  });
  if ('empty' in documents) return [];
  return documents.map((document) => {
    const [error] = document.errors;
    if (error) throw error;
    return document.toJS({ maxAliasCount: maxAliases }) as unknown;
  });
}

function withoutForeignTags(tags: Tags): Tags {
  return tags.filter(
    (tag) =>
      typeof tag !== 'object' ||
      // 12:30 is a number of base 60 to YAML 1.1 alone.
      (!foreignTags.includes(tag.tag) && !('format' in tag && tag.format === 'TIME')),
  );
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    // YAML's braces, or JSON with a fault: the parser of YAML says where.
    return undefined;
  }
}

/** That it is a JSON value, not too deep, and not too large. */
function checkValue(root: unknown, known: { values: number }): void {
  if (isDeeperThan(root, maxDepth)) {
    throw new TextFault('LimitExceeded', 'lists and objects stand too deep in each other');
  }
  const rest: unknown[] = [root];
  for (let value = rest.pop(), left = true; left; left = rest.length > 0, value = rest.pop()) {
    known.values += 1;
    if (known.values > maxValues) throw new TextFault('LimitExceeded', 'it holds too many values');
    if (typeof value === 'number' && !Number.isFinite(value)) {
      throw new TextFault('RenderFailed', `${value} is no number of JSON: put it in quotes`);
    }
    if (typeof value === 'bigint') throw new TextFault('RenderFailed', `${value} is too large a number`);
    if (typeof value === 'object' && value !== null) rest.push(...Object.values(value));
  }
}

function itemsOf(value: unknown): unknown[] {
  if (value === null || value === undefined) return [];
  if (!isObject(value)) throw new TextFault('InvalidManifests', 'a document is no Kubernetes object');
  const { kind, items } = value;
  if (typeof kind === 'string' && kind.endsWith('List') && Array.isArray(items))
    return items.flatMap(itemsOf);
  return [value];
}

function toManifest(value: unknown): KubeObject {
  if (!isObject(value)) throw new TextFault('InvalidManifests', 'an item of a list is no Kubernetes object');
  const { apiVersion, kind } = value;
  if (typeof apiVersion !== 'string' || typeof kind !== 'string') {
    throw new TextFault(
      'InvalidManifests',
      'it is no Kubernetes object, for it has no apiVersion and kind: move it elsewhere, or let its name begin with a dot',
    );
  }
  if (kind === 'Kustomization' && apiVersion.startsWith('kustomize.config.k8s.io/')) {
    throw new TextFault('InvalidManifests', 'it is a kustomization: name its folder in spec.source path');
  }
  return value as unknown as KubeObject;
}
