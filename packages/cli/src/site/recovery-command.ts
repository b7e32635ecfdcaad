import { isStatusError, printable, type Site, sites } from '@selvedge/api';
import { type HttpClient, resourcePath } from '@selvedge/kube';
import { confirm } from '../program/confirm.ts';
import { type ConnectOptions, connect } from '../program/connect.ts';
import { CommandError, exitCode, UsageError } from '../program/exit-code.ts';
import { type Command, type CommandContext, formatDocument, type OutputFormat } from '../program/terminal.ts';
import { getSite } from './get-site.ts';

export interface RecoveryOptions extends ConnectOptions {
  readonly action: 'adopt' | 'override';
  /** Absent: every site that is ahead of the hub (`all`). */
  readonly site?: string;
  readonly all?: boolean;
  readonly yes?: boolean;
  readonly output: OutputFormat;
}

type Recovery = NonNullable<NonNullable<Site['status']>['recovery']>;

const askedAtOnce = 8;
/** A site in touch answers within seconds; one that went away just now should not keep a person waiting. */
const waitSeconds = 30;
const lookMilliseconds = 500;

const meanings = {
  adopt: 'What the site follows becomes what the hub wants there. Nothing changes at the site.',
  override:
    'The site follows this hub again, older though it is. What the hub knows nothing of stays there as it is.',
};

/** Brings sites and a hub that lost its memory in step again, one way or the other. */
export const recoveryCommand: Command<RecoveryOptions> = async (options, ctx) => {
  const { action } = options;
  if ((options.site === undefined) === (options.all !== true)) {
    throw new UsageError(`name a site, or say --all for every site that is ahead of the hub`);
  }
  await using hub = await connect(options, ctx.process);
  const targets =
    options.site === undefined ? await sitesAhead(hub.client) : [await getSite(hub.client, options.site)];
  if (targets.length === 0) {
    ctx.print(options.output === 'table' ? 'No site is ahead of the hub.' : '[]');
    return exitCode.ok;
  }
  if (options.yes !== true) {
    await preview(hub.client, targets, { action, ctx });
    const what = targets.length === 1 ? targets[0]?.metadata.name : `these ${targets.length} sites`;
    const verb = action === 'adopt' ? 'Adopt' : 'Override';
    await confirm(ctx.process, {
      question: `${meanings[action]}\n${verb} ${what}? [y/N] `,
      otherwise: `${action} asks for confirmation; pass --yes where nobody can answer`,
      declined: `nothing was ${action === 'adopt' ? 'adopted' : 'overridden'}`,
    });
  }
  const asked = await eachOf(targets, (site) => ask(hub.client, site.metadata.name, { action }));
  const done = await waitUntilDone(hub.client, asked, ctx);
  if (options.output === 'table') for (const site of done) ctx.print(outcomeText(site, ctx));
  else ctx.print(await formatDocument(options.output, done.map(outcomeDocument)));
  return done.some((site) => site.status?.recovery?.state === 'Refused') ? exitCode.trouble : exitCode.ok;
};

async function sitesAhead(client: HttpClient): Promise<Site[]> {
  const { items } = await client.list<Site>(sites);
  return items.filter((site) =>
    site.status?.conditions?.some((c) => c.type === 'HubBehind' && c.status === 'True'),
  );
}

function ask(
  client: HttpClient,
  name: string,
  { action, dryRun = false }: { action: RecoveryOptions['action']; dryRun?: boolean },
): Promise<Site> {
  const path = resourcePath(sites, { name, subresource: action });
  return client
    .request<Site>({ method: 'POST', path, query: { dryRun: dryRun ? 'All' : undefined }, body: {} })
    .catch((error: unknown) => {
      if (isStatusError(error, 'Conflict')) throw new CommandError(error.message);
      throw error;
    });
}

/** What would change, site by site. */
async function preview(
  client: HttpClient,
  targets: readonly Site[],
  { action, ctx }: { action: RecoveryOptions['action']; ctx: CommandContext },
): Promise<void> {
  for (const site of await eachOf(targets, ({ metadata }) =>
    ask(client, metadata.name, { action, dryRun: true }),
  )) {
    const changes = site.status?.recovery?.changes;
    ctx.hint(`${site.metadata.name}:`);
    if (changes === undefined) ctx.hint('  what it follows is not known yet: the hub asks for it');
    else if (changes.length === 0) ctx.hint('  the hub and the site want the same');
    for (const change of changes ?? []) ctx.hint(`  ${printable(change)}`);
  }
}

/** Sites that are not in touch are not waited for. */
async function waitUntilDone(
  client: HttpClient,
  asked: readonly Site[],
  { process: { clock, signal } }: CommandContext,
): Promise<Site[]> {
  const end = clock.now().getTime() + waitSeconds * 1000;
  let present = [...asked];
  const isAwaited = ({ status }: Site) =>
    status?.recovery?.state === 'Requested' && status.connectivity === 'Connected';
  while (present.some(isAwaited) && clock.now().getTime() < end && !signal.aborted) {
    await clock.sleep(lookMilliseconds, signal);
    present = await eachOf(present, async (site) =>
      isAwaited(site) ? client.get<Site>(sites, { name: site.metadata.name }) : site,
    );
  }
  return present;
}

function outcomeText({ metadata, status }: Site, ctx: CommandContext): string {
  const recovery = status?.recovery;
  const tone = recovery?.state === 'Done' ? 'good' : recovery?.state === 'Refused' ? 'bad' : 'caution';
  const changes = recovery?.state === 'Done' ? (recovery.changes ?? []) : [];
  return [
    `${ctx.paint('strong', metadata.name)}: ${ctx.paint(tone, stateText(recovery))}. ${printable(recovery?.message ?? '')}`,
    ...changes.map((change) => `  ${printable(change)}`),
  ].join('\n');
}

function stateText(recovery: Recovery | undefined): string {
  switch (recovery?.state) {
    case 'Done':
      return recovery.action === 'Adopt' ? 'adopted' : 'overridden';
    case 'Refused':
      return 'refused';
    default:
      return 'requested';
  }
}

function outcomeDocument({ metadata, status }: Site): Record<string, unknown> {
  return { site: metadata.name, ...status?.recovery };
}

async function eachOf<T, R>(list: readonly T[], work: (entry: T) => Promise<R>): Promise<R[]> {
  const results: R[] = [];
  for (let i = 0; i < list.length; i += askedAtOnce) {
    results.push(...(await Promise.all(list.slice(i, i + askedAtOnce).map(work))));
  }
  return results;
}
