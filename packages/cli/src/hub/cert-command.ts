import { access } from 'node:fs/promises';
import { resolve } from 'node:path';
import { createLogger, writeFileAtomically } from '@selvedge/api/node';
import type { CertificateReport, HubCertificates, Renewable } from '@selvedge/hub';
import { CommandError, exitCode, UsageError } from '../program/exit-code.ts';
import { type Command, type CommandContext, formatDocument, type OutputFormat } from '../program/terminal.ts';
import { renderTable } from '../render/table.ts';

export interface CertOptions {
  readonly data?: string;
  readonly output: OutputFormat;
}

/** `selvedge hub cert show`: exits 1 when one of them is of no use. */
export const certShowCommand: Command<CertOptions> = async (options, ctx) => {
  const reports = await withCertificates(options, ctx, (certificates) => certificates.list());
  ctx.print(
    options.output === 'table' ? renderReports(reports, ctx) : await formatDocument(options.output, reports),
  );
  return reports.some(({ problem }) => problem !== undefined) ? exitCode.trouble : exitCode.ok;
};

export interface CertRenewOptions extends CertOptions {
  readonly names: readonly Renewable[];
}

const afterRenewal: Readonly<Record<Renewable, string>> = {
  server: 'A running hub shows the new certificate within seconds; open connections go on.',
  admin:
    'The old certificate is good until it expires; copies of the old kubeconfig have to be replaced by then.',
  ca: 'Same key, same name: what it has issued stays good. Restart the hub, so that sites hear of it.',
  'service-account':
    'New tokens are signed with the new key; older tokens are good until they expire. To end them now, delete all but the first key in the file.',
};

/** `selvedge hub cert renew`. */
export const certRenewCommand: Command<CertRenewOptions> = async (options, ctx) => {
  const renewed: { name: Renewable; files: string[] }[] = [];
  await withCertificates(options, ctx, async (certificates) => {
    for (const name of options.names) renewed.push({ name, files: await certificates.renew(name) });
  });
  if (options.output !== 'table') {
    ctx.print(await formatDocument(options.output, renewed));
    return exitCode.ok;
  }
  for (const { name, files } of renewed) {
    ctx.print(`${name} renewed: ${files.join(', ')}`);
    ctx.hint(afterRenewal[name]);
  }
  return exitCode.ok;
};

export interface CertIssueOptions extends CertOptions {
  readonly user: string;
  readonly group?: readonly string[];
  readonly ttl: string;
  readonly server?: string;
  readonly out: string;
}

/** `selvedge hub cert issue`: a kubeconfig for somebody new. */
export const certIssueCommand: Command<CertIssueOptions> = async (options, ctx) => {
  const path = resolve(options.out);
  if (await exists(path)) throw new UsageError(`${path} is there already: give --out another name`);
  const { user, group: groups = [], ttl: life, server } = options;
  const kubeconfig = await withCertificates(options, ctx, (certificates) =>
    certificates.issue({ user, groups, life, ...(server === undefined ? {} : { server }) }),
  );
  await writeFileAtomically(path, kubeconfig);
  ctx.print(
    options.output === 'table' ? path : await formatDocument(options.output, { file: path, user, groups }),
  );
  ctx.hint(
    groups.includes('system:masters')
      ? 'Members of system:masters may do everything, and a certificate cannot be taken back before it expires.'
      : 'A certificate cannot be taken back before it expires: what it may do ends when the roles of its user and groups are unbound.',
  );
  return exitCode.ok;
};

async function exists(path: string): Promise<boolean> {
  return access(path).then(
    () => true,
    () => false,
  );
}

async function withCertificates<T>(
  { data }: CertOptions,
  { process }: CommandContext,
  work: (certificates: HubCertificates) => Promise<T>,
): Promise<T> {
  if (data === undefined) throw new UsageError('--data DIR is needed: the data directory of the hub');
  const { DataDirectoryError, HubCertificates } = await import('@selvedge/hub');
  try {
    const logger = createLogger({ level: 'silent' });
    return await work(new HubCertificates({ dataDirectory: resolve(data), clock: process.clock, logger }));
  } catch (cause) {
    if (cause instanceof DataDirectoryError) throw new CommandError(cause.message, undefined, { cause });
    throw cause;
  }
}

function renderReports(reports: readonly CertificateReport[], { paint }: CommandContext): string {
  const table = renderTable(
    ['NAME', 'SUBJECT', 'ISSUER', 'NOT BEFORE', 'NOT AFTER', 'DAYS LEFT', 'STATE'],
    reports.map((r) => [
      r.name,
      r.subject,
      r.issuer,
      r.notBefore.slice(0, 10),
      r.notAfter.slice(0, 10),
      r.daysLeft,
      r.problem === undefined ? { text: 'good', tone: 'good' } : { text: r.problem, tone: 'bad' },
    ]),
    paint,
  );
  const details = reports.flatMap((r) => [
    '',
    `${r.name}: ${r.file}`,
    `  SHA-256 ${r.fingerprint}`,
    ...(r.names.length > 0 ? [`  for ${r.names.join(', ')}`] : []),
  ]);
  return [table, ...details].join('\n');
}
