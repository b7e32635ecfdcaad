import type { BackupSummary } from '@selvedge/hub';
import { type CommandContext, formatDocument, type OutputFormat } from '../program/terminal.ts';

/** What a backup holds: in a few words, or as a document. */
export async function printSummary(
  summary: BackupSummary,
  { verb, output, ctx }: { verb: string; output: OutputFormat; ctx: CommandContext },
): Promise<void> {
  if (output !== 'table') {
    ctx.print(await formatDocument(output, summary));
    return;
  }
  const { counts } = summary;
  ctx.print(
    `hub ${summary.hubId} of ${summary.createdAt}, revision ${summary.revision}: ${verb}, and read back whole`,
  );
  ctx.print(
    `${counts['object'] ?? 0} objects, ${counts['delivery'] ?? 0} deliveries, ${counts['site'] ?? 0} sites, ${counts['blob'] ?? 0} pieces of content, ${counts['keyFile'] ?? 0} key files`,
  );
}
