import { agentManifests, type InstallWish, resolveInstall } from '@selvedge/api';
import { formatManifests } from '@selvedge/kube';
import { connect } from '../program/connect.ts';
import { CommandError, exitCode, UsageError } from '../program/exit-code.ts';
import type { Command } from '../program/terminal.ts';
import { formatAge } from '../render/age.ts';
import {
  checkHubUrls,
  ensureToken,
  hintAtExistingSite,
  readToken,
  type TokenOptions,
} from './token-command.ts';
import { wantedToken } from './token-plan.ts';
import { withHubAddresses } from './token-text.ts';

export interface ManifestOptions extends TokenOptions {
  readonly install: InstallWish;
  /** Print an address of the manifests instead. */
  readonly url?: boolean;
}

/** stdout is for `kubectl apply -f`: the manifests, or their address; everything else goes to stderr. */
export const manifestCommand: Command<ManifestOptions> = async (options, ctx) => {
  const hubUrls = checkHubUrls(options.hubUrls);
  if (options.url === true && hubUrls.length > 0) {
    throw new UsageError(
      '--hub-url does not go with --url: the hub writes the manifests with its own addresses',
    );
  }
  const install = checkedInstall(options.install);
  const wanted = wantedToken(options);
  await using hub = await connect(options, ctx.process);
  const now = ctx.process.clock.now();
  const token = await ensureToken(hub.client, wanted, now);
  const { name } = token.metadata;
  if (options.url === true) {
    const { installUrls = [], installExpirationTimestamp = '' } = await readToken(
      hub.client,
      name,
      options.install,
    );
    const [url] = installUrls;
    if (url === undefined) {
      throw new CommandError(
        'the hub answered without an address',
        'Check that hub and selvedge have one version.',
      );
    }
    ctx.print(url);
    const seconds = Math.round((Date.parse(installExpirationTimestamp) - now.getTime()) / 1000);
    ctx.hint(
      `Good for ${formatAge(seconds)}: kubectl apply -f URL. Who has the address can join as this site.`,
    );
    ctx.hint(
      "kubectl has to trust the hub's certificate. Where it does not: selvedge site manifest NAME | kubectl apply -f -",
    );
  } else {
    const { token: issued } = await readToken(hub.client, name);
    const text = hubUrls.length > 0 ? withHubAddresses(issued, hubUrls) : issued;
    ctx.print((await formatManifests(agentManifests(install, text))).trimEnd());
    ctx.hint('With the context of the site: pipe it into kubectl apply -f -. It holds the enrolment token.');
  }
  await hintAtExistingSite(hub.client, options, ctx.hint);
  return exitCode.ok;
};

function checkedInstall(wish: InstallWish): ReturnType<typeof resolveInstall> {
  try {
    return resolveInstall(wish);
  } catch (error) {
    throw new UsageError((error as Error).message);
  }
}
