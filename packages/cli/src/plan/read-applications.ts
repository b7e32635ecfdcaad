import { readFile } from 'node:fs/promises';
import type { KubeObject } from '@selvedge/api';
import { CommandError, UsageError } from '../program/exit-code.ts';
import type { CliProcess } from '../program/terminal.ts';

const maxBytes = 16 * 1024 * 1024;

export interface FoundApplications {
  readonly applications: readonly KubeObject[];
  /** `Kind/name` of what else is in the file. */
  readonly others: readonly string[];
}

/** The Applications in a file of YAML documents or JSON, lists taken apart. Throws UsageError, CommandError. */
export async function readApplications(path: string, process: CliProcess): Promise<FoundApplications> {
  const text = path === '-' ? await readAll(process.stdin) : await readText(path);
  const { parseAllDocuments } = await import('yaml');
  const documents = parseAllDocuments(text, { version: '1.1', prettyErrors: true });
  const objects: unknown[] = [];
  for (const document of 'empty' in documents ? [] : documents) {
    const [fault] = document.errors;
    if (fault !== undefined) throw new CommandError(`${path}: ${fault.message.split('\n', 1)[0]}`);
    objects.push(...itemsOf(document.toJS({ maxAliasCount: 100 })));
  }
  const found = objects.filter((object) => object !== null && object !== undefined);
  for (const object of found) {
    if (!isObject(object))
      throw new CommandError(`${path}: every document has to be an object with kind and metadata.name`);
  }
  const all = found.filter(isObject);
  const isApplication = ({ apiVersion, kind }: KubeObject) =>
    kind === 'Application' && apiVersion.startsWith('selvedge.dev/');
  const applications = all.filter(isApplication);
  if (applications.length === 0) {
    throw new CommandError(
      `${path}: there is no Application of selvedge.dev in it`,
      'Plans are made of Applications.',
    );
  }
  const others = all.filter((object) => !isApplication(object));
  return { applications, others: others.map(({ kind, metadata }) => `${kind}/${metadata.name}`) };
}

function itemsOf(value: unknown): unknown[] {
  const items = (value as { kind?: unknown; items?: unknown } | null)?.items;
  const kind = (value as { kind?: unknown } | null)?.kind;
  return typeof kind === 'string' && kind.endsWith('List') && Array.isArray(items) ? items : [value];
}

function isObject(value: unknown): value is KubeObject {
  const { apiVersion, kind, metadata } = (value ?? {}) as Partial<KubeObject>;
  const name: unknown = (metadata as { name?: unknown } | undefined | null)?.name;
  return typeof apiVersion === 'string' && typeof kind === 'string' && typeof name === 'string';
}

async function readText(path: string): Promise<string> {
  try {
    return await readFile(path, 'utf8');
  } catch (cause) {
    throw new UsageError(cause instanceof Error ? cause.message : String(cause), { cause });
  }
}

async function readAll(stream: NodeJS.ReadableStream): Promise<string> {
  const chunks: Buffer[] = [];
  let bytes = 0;
  for await (const chunk of stream) {
    const part = Buffer.from(chunk);
    bytes += part.length;
    if (bytes > maxBytes) throw new UsageError(`more than ${maxBytes} bytes on standard input`);
    chunks.push(part);
  }
  return Buffer.concat(chunks).toString('utf8');
}
