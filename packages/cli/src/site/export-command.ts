import { randomBytes } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { open, readFile, rename, rm, stat } from 'node:fs/promises';
import { dirname } from 'node:path';
import { type SiteExportRequest, type SiteArchiveHead, sites } from '@selvedge/api';
import { type HttpClient, resourcePath } from '@selvedge/kube';
import { connect, type ConnectOptions } from '../program/connect.ts';
import { CommandError, exitCode, UsageError } from '../program/exit-code.ts';
import { type Command, type CommandContext, formatDocument } from '../program/terminal.ts';
import { formatBytes } from '../render/bytes.ts';

export interface ExportOptions extends ConnectOptions {
  readonly site: string;
  /** `-`: stdout. */
  readonly file: string;
  readonly withoutImages?: boolean;
  /** A file that names blobs which the site has already. */
  readonly have?: string;
  readonly output: 'table' | 'json' | 'yaml';
}

/** Longest silence of the hub: it looks images up before its first byte, and waits for registries between others. */
const idleMilliseconds = 120_000;
const longestHave = 20_000;

/** Writes what a site is to run, and all that it needs for it, into one file. */
export const exportCommand: Command<ExportOptions> = async (options, ctx) => {
  const { site, file } = options;
  if (file === '') throw new UsageError('--file must name the file to write; - for stdout');
  const request: SiteExportRequest = {
    apiVersion: 'selvedge.dev/v1alpha1',
    kind: 'SiteExportRequest',
    images: options.withoutImages !== true,
    have: options.have === undefined ? [] : await readHave(options.have),
  };
  await using hub = await connect(options, ctx.process);
  const archive = download(hub.client, { site, request, ctx });
  if (file === '-') {
    await writeOut(archive, ctx);
    return exitCode.ok;
  }
  const { head, bytes } = await writeArchive(file, archive, ctx);
  if (options.output !== 'table') {
    const { hubTime, leftOut, state } = head;
    const document = { site, file, bytes, epoch: state.epoch, hubTime, leftOut };
    ctx.print(await formatDocument(options.output, document));
    return exitCode.ok;
  }
  ctx.print(`${site}, epoch ${head.state.epoch}: ${formatBytes(bytes)} in ${file}`);
  for (const line of head.leftOut) ctx.hint(`Not in the file: ${line}`);
  ctx.hint(
    'Who has the file can read the manifests in it. At the site: selvedge-agent import FILE --state DIR',
  );
  return exitCode.ok;
};

function download(
  client: HttpClient,
  { site, request, ctx }: { site: string; request: SiteExportRequest; ctx: CommandContext },
): AsyncIterable<Uint8Array> {
  return client.download({
    method: 'POST',
    path: resourcePath(sites, { name: site, subresource: 'export' }),
    body: request,
    idleMilliseconds,
    signal: ctx.process.signal,
  });
}

async function readHave(path: string): Promise<string[]> {
  let text: string;
  try {
    text = await readFile(path, 'utf8');
  } catch (cause) {
    throw new UsageError(`--have ${path} cannot be read: ${(cause as Error).message}`, { cause });
  }
  const digests = [...new Set(text.match(/\bsha256:[0-9a-f]{64}\b/g) ?? [])];
  if (digests.length === 0)
    throw new UsageError(`--have ${path} names no blobs: make it with "selvedge-agent depot list"`);
  if (digests.length > longestHave)
    throw new UsageError(`--have ${path} names more than ${longestHave} blobs`);
  return digests;
}

async function writeOut(archive: AsyncIterable<Uint8Array>, { process }: CommandContext): Promise<void> {
  for await (const chunk of archive) {
    if (process.stdout.write(chunk)) continue;
    await new Promise<void>((resolve) => process.stdout.once('drain', resolve));
  }
}

/** The file appears under its name, in place of one from before, when all of it was written and read back from the disk. */
async function writeArchive(
  path: string,
  archive: AsyncIterable<Uint8Array>,
  ctx: CommandContext,
): Promise<{ head: SiteArchiveHead; bytes: number }> {
  const { syncDirectory } = await import('@selvedge/api/node');
  const temporary = `${path}.${randomBytes(6).toString('hex')}.tmp`;
  try {
    // Manifests may hold Secrets.
    const file = await open(temporary, 'wx', 0o600).catch((cause: Error) => {
      throw new UsageError(`${path} cannot be written: ${cause.message}`, { cause });
    });
    try {
      for await (const chunk of archive) await file.writeFile(chunk);
      await file.sync();
    } finally {
      await file.close();
    }
    if (ctx.process.signal.aborted) throw new CommandError('broken off; nothing was written');
    const head = await checkArchive(temporary);
    const { size } = await stat(temporary);
    await rename(temporary, path);
    await syncDirectory(dirname(path));
    return { head, bytes: size };
  } catch (error) {
    await rm(temporary, { force: true });
    throw error;
  }
}

/** Reads it from its beginning to its end. Throws when a part is missing or is something else. */
async function checkArchive(path: string): Promise<SiteArchiveHead> {
  const { createHash } = await import('node:crypto');
  const { readTar } = await import('@selvedge/api/node');
  const { longestSiteArchiveHead, siteArchiveHeadName } = await import('@selvedge/api');
  let head: SiteArchiveHead | undefined;
  const missing = new Set<string>();
  for await (const entry of readTar(createReadStream(path, { highWaterMark: 1024 * 1024 }))) {
    if (entry.name === siteArchiveHeadName && entry.sizeBytes <= longestSiteArchiveHead) {
      const chunks = await Array.fromAsync(entry.content());
      head = JSON.parse(Buffer.concat(chunks).toString('utf8')) as SiteArchiveHead;
      for (const { digest } of [...head.contents, ...head.blobs]) missing.add(digest);
    }
    const digest = /\/(sha256)\/([0-9a-f]{64})$/.exec(entry.name)?.slice(1).join(':');
    if (digest === undefined) continue;
    const hash = createHash('sha256');
    for await (const chunk of entry.content()) hash.update(chunk);
    if (`sha256:${hash.digest('hex')}` !== digest) throw damaged(`${entry.name} came as something else`);
    missing.delete(digest);
  }
  if (head === undefined) throw damaged('it has no head');
  if (missing.size > 0) throw damaged(`${[...missing][0]} did not come`);
  return head;
}

function damaged(what: string): CommandError {
  return new CommandError(`the archive did not arrive whole: ${what}`, 'Export again.');
}
