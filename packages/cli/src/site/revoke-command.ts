import { isConflict, type Site, sites } from '@selvedge/api';
import type { HttpClient } from '@selvedge/kube';
import { type ConnectOptions, connect } from '../program/connect.ts';
import { CommandError, exitCode, UsageError } from '../program/exit-code.ts';
import { type Command, type CommandContext, formatDocument, type OutputFormat } from '../program/terminal.ts';
import { getSite } from './get-site.ts';

export interface RevokeOptions extends ConnectOptions {
  readonly site: string;
  readonly yes?: boolean;
  readonly output: OutputFormat;
}

/** Takes the site's present key away: its agent is refused from then on, what it runs goes on running. */
export const revokeCommand: Command<RevokeOptions> = async (options, ctx) => {
  await using hub = await connect(options, ctx.process);
  const site = await getSite(hub.client, options.site);
  const fingerprint = site.status?.agent?.keyFingerprint;
  if (fingerprint === undefined) {
    throw new CommandError(
      `site ${options.site} has no key that could be revoked: no agent has joined`,
      `A token that is not used yet is taken back with: kubectl delete enrollmenttoken site-${options.site}`,
    );
  }
  const isRevoked = site.spec?.revokedKeys?.includes(fingerprint) === true;
  if (!isRevoked) {
    if (options.yes !== true) await confirm(options.site, fingerprint, ctx);
    await addRevokedKey(hub.client, options.site, fingerprint);
  }
  if (options.output !== 'table') {
    ctx.print(await formatDocument(options.output, { site: options.site, revokedKey: fingerprint }));
  } else {
    ctx.print(`${fingerprint} ${isRevoked ? 'was revoked before' : 'is revoked'}.`);
    ctx.hint(
      `What runs at ${options.site} goes on. A new agent joins with: selvedge site token ${options.site}`,
    );
  }
  return exitCode.ok;
};

async function addRevokedKey(client: HttpClient, name: string, fingerprint: string): Promise<void> {
  for (let attempt = 1; ; attempt++) {
    const { metadata, spec } = await client.get<Site>(sites, { name });
    const revokedKeys = spec?.revokedKeys ?? [];
    if (revokedKeys.includes(fingerprint)) return;
    const patch = {
      metadata: { resourceVersion: metadata.resourceVersion },
      spec: { revokedKeys: [...revokedKeys, fingerprint] },
    };
    try {
      await client.mergePatch(sites, { name }, patch, { fieldManager: 'selvedge-cli' });
      return;
    } catch (error) {
      // The resourceVersion keeps a key that somebody else revokes at this moment from being dropped.
      if (!isConflict(error) || attempt === 5) throw error;
    }
  }
}

async function confirm(site: string, fingerprint: string, ctx: CommandContext): Promise<void> {
  const { stdin, stderr, signal } = ctx.process;
  if (stdin.isTTY !== true) {
    throw new UsageError('revoking a key asks for confirmation; pass --yes where nobody can answer');
  }
  const { createInterface } = await import('node:readline/promises');
  const prompt = createInterface({ input: stdin, output: stderr });
  try {
    const question = `The agent of ${site} (key ${fingerprint}) will be refused for good. Revoke? [y/N] `;
    const answer = await prompt.question(question, { signal });
    if (!/^y(es)?$/i.test(answer.trim())) throw new CommandError('nothing was revoked');
  } finally {
    prompt.close();
  }
}
