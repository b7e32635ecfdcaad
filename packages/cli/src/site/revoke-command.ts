import { isConflict, type Site, sites } from '@selvedge/api';
import type { HttpClient } from '@selvedge/kube';
import { confirm } from '../program/confirm.ts';
import { type ConnectOptions, connect } from '../program/connect.ts';
import { CommandError, exitCode } from '../program/exit-code.ts';
import { type Command, formatDocument, type OutputFormat } from '../program/terminal.ts';
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
    if (options.yes !== true) {
      await confirm(ctx.process, {
        question: `The agent of ${options.site} (key ${fingerprint}) will be refused for good. Revoke? [y/N] `,
        otherwise: 'revoking a key asks for confirmation; pass --yes where nobody can answer',
        declined: 'nothing was revoked',
      });
    }
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
