import { readFile } from 'node:fs/promises';
import { delimiter, dirname, resolve } from 'node:path';
import { StatusError } from '@selvedge/api';

export type Fields = Readonly<Record<string, unknown>>;
/** A named entry, and the file that it stands in: relative paths start there. */
export interface Entry {
  readonly path: string;
  readonly where: string;
  readonly fields: Fields;
}

/** The entries that one context of a kubeconfig leads to. */
export interface KubeconfigContext {
  /** The file or files, for messages. */
  readonly shown: string;
  readonly name: string;
  readonly ofContext: Entry;
  readonly cluster: Entry;
  readonly user: Entry;
}

/**
 * Finds `context` (or the current one) in the file at `path`, which may be a list as in $KUBECONFIG: the first entry of a
 * name counts. Throws BadRequest that names the file and the field.
 */
export async function openContext(path: string, context?: string): Promise<KubeconfigContext> {
  const files = await readFiles(path);
  const shown = files.map((f) => f.path).join(delimiter);
  const name = context ?? firstCurrentContext(files);
  if (name === undefined) {
    throw unusable(shown, 'current-context is not set; set it, or name a context with --context');
  }
  const ofContext = entry(files, 'contexts', name);
  const cluster = entry(files, 'clusters', requiredText(ofContext, 'cluster'));
  const user = entry(files, 'users', requiredText(ofContext, 'user'));
  return { shown, name, ofContext, cluster, user };
}

/** Both of certificate and key, or neither. */
export async function clientCertificate(user: Entry): Promise<{ cert?: string; key?: string }> {
  const cert = await material(user, 'client-certificate');
  const key = await material(user, 'client-key');
  if (cert !== undefined && key !== undefined) return { cert, key };
  if (cert === undefined && key === undefined) return {};
  const missing = cert === undefined ? 'client-certificate-data' : 'client-key-data';
  throw unusable(user.path, `${user.where}.${missing} is missing; certificate and key are needed together`);
}

/** `FIELD-data` (base64), else the file that `FIELD` names; PEM either way. */
export async function material(from: Entry, field: string): Promise<string | undefined> {
  const data = optionalText(from, `${field}-data`);
  const file = optionalText(from, field);
  const pem =
    data !== undefined
      ? Buffer.from(data, 'base64').toString('latin1')
      : file === undefined
        ? undefined
        : await readNamedFile(from, field, file);
  if (pem !== undefined && !pem.includes('-----BEGIN ')) {
    const shown = data === undefined ? field : `${field}-data`;
    throw unusable(from.path, `${from.where}.${shown} does not hold PEM`);
  }
  return pem;
}

export async function readNamedFile(from: Entry, field: string, file: string): Promise<string> {
  const path = resolve(dirname(from.path), file);
  try {
    return await readFile(path, 'utf8');
  } catch (cause) {
    throw unusable(
      from.path,
      `${from.where}.${field} names ${path}, which cannot be read: ${reasonOf(cause)}`,
      cause,
    );
  }
}

export function serverAddress(cluster: Entry): string {
  const server = requiredText(cluster, 'server');
  const url = URL.parse(server);
  if (url === null || (url.protocol !== 'https:' && url.protocol !== 'http:')) {
    throw unusable(
      cluster.path,
      `${cluster.where}.server is ${JSON.stringify(server)}, not an https:// address`,
    );
  }
  return server.replace(/\/+$/, '');
}

async function readFiles(path: string): Promise<{ path: string; fields: Fields }[]> {
  const paths = path.split(delimiter).filter((p) => p !== '');
  const files: { path: string; fields: Fields }[] = [];
  let firstFailure: unknown;
  for (const file of paths) {
    let text: string;
    try {
      text = await readFile(file, 'utf8');
    } catch (cause) {
      // In a list, files that are not there are passed over, as kubectl does.
      firstFailure ??= cause;
      continue;
    }
    files.push({ path: resolve(file), fields: await parseFile(file, text) });
  }
  if (files.length === 0) {
    throw unusable(path, `cannot be read: ${reasonOf(firstFailure)}`, firstFailure);
  }
  return files;
}

async function parseFile(path: string, text: string): Promise<Fields> {
  let content: unknown;
  try {
    content = (await import('yaml')).parse(text);
  } catch (cause) {
    throw unusable(path, `is not YAML: ${reasonOf(cause)}`, cause);
  }
  if (!isFields(content)) throw unusable(path, 'is not a kubeconfig: it holds no fields');
  return content;
}

function firstCurrentContext(files: readonly { path: string; fields: Fields }[]): string | undefined {
  for (const file of files) {
    const name = file.fields['current-context'];
    if (typeof name === 'string' && name !== '') return name;
  }
  return undefined;
}

/** `contexts[name].context` and its like. */
function entry(
  files: readonly { path: string; fields: Fields }[],
  list: 'contexts' | 'clusters' | 'users',
  name: string,
): Entry {
  const names: string[] = [];
  for (const { path, fields } of files) {
    const items = fields[list];
    for (const item of Array.isArray(items) ? (items as unknown[]) : []) {
      if (!isFields(item) || typeof item['name'] !== 'string') continue;
      names.push(item['name']);
      const body = item[list.slice(0, -1)];
      if (item['name'] === name)
        return { path, where: `${list}[${name}]`, fields: isFields(body) ? body : {} };
    }
  }
  const known = names.length === 0 ? 'there are none' : `there are: ${names.join(', ')}`;
  throw unusable(files.map((f) => f.path).join(delimiter), `${list} has no entry named "${name}"; ${known}`);
}

export function optionalText(from: Entry, field: string): string | undefined {
  const value = from.fields[field];
  if (value === undefined || value === null || value === '') return undefined;
  if (typeof value !== 'string') throw unusable(from.path, `${from.where}.${field} is not a string`);
  return value;
}

export function requiredText(from: Entry, field: string): string {
  const value = optionalText(from, field);
  if (value === undefined) throw unusable(from.path, `${from.where}.${field} is missing`);
  return value;
}

export function isTrue(from: Entry, field: string): boolean {
  return from.fields[field] === true;
}

export function refuseUnsupported(from: Entry, fields: readonly string[]): void {
  for (const field of fields) {
    if (from.fields[field] === undefined || from.fields[field] === null) continue;
    throw unusable(
      from.path,
      `${from.where}.${field} is not supported here; use client-certificate-data and client-key-data, or token`,
    );
  }
}

export function isFields(value: unknown): value is Fields {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

export function reasonOf(cause: unknown): string {
  if (!(cause instanceof Error)) return String(cause);
  const code = (cause as NodeJS.ErrnoException).code;
  if (code === 'ENOENT') return 'there is no such file';
  if (code === 'EACCES') return 'permission denied';
  return cause.message.split('\n')[0] ?? cause.message;
}

export function unusable(path: string, what: string, cause?: unknown): StatusError {
  return new StatusError('BadRequest', `kubeconfig ${path}: ${what}`, { cause });
}
