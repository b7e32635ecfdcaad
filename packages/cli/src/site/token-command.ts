import {
  type EnrollmentToken,
  enrollmentTokens,
  isAlreadyExists,
  isConflict,
  isNotFound,
  type InstallWish,
  type KubeObject,
  type Site,
  sites,
} from '@selvedge/api';
import { type HttpClient, resourcePath } from '@selvedge/kube';
import { type ConnectOptions, connect } from '../program/connect.ts';
import { CommandError, exitCode, UsageError } from '../program/exit-code.ts';
import { type Command, formatDocument, type OutputFormat } from '../program/terminal.ts';
import { formatAge } from '../render/age.ts';
import { expiryOf, isMadeByThisCommand, isStillGood, type TokenWish, wantedToken } from './token-plan.ts';
import { withHubAddresses } from './token-text.ts';

export interface TokenOptions extends ConnectOptions, TokenWish {
  readonly output: OutputFormat;
  readonly hubUrls?: readonly string[];
}

/** stdout is the token and nothing else, so `selvedge site token NAME > FILE` is all a script needs. */
export const tokenCommand: Command<TokenOptions> = async (options, ctx) => {
  const hubUrls = checkHubUrls(options.hubUrls);
  const wanted = wantedToken(options);
  await using hub = await connect(options, ctx.process);
  const now = ctx.process.clock.now();
  const token = await ensureToken(hub.client, wanted, now);
  const { token: issued } = await readToken(hub.client, token.metadata.name);
  const text = hubUrls.length > 0 ? withHubAddresses(issued, hubUrls) : issued;
  const expires = expiryOf(token);
  if (options.output !== 'table') {
    const document = {
      name: token.metadata.name,
      site: options.site,
      uses: token.spec.uses,
      expirationTime: expires.toISOString(),
      token: text,
    };
    ctx.print(await formatDocument(options.output, document));
    return exitCode.ok;
  }
  ctx.print(text);
  const minutesLeft = Math.round((expires.getTime() - now.getTime()) / 60_000);
  const uses = token.spec.uses === 1 ? 'once' : `${token.spec.uses} times`;
  ctx.hint(
    `Valid ${uses}, for ${formatAge(minutesLeft * 60)}. In a file at the site: selvedge-agent run --state DIR --token-file FILE`,
  );
  if (token.spec.approval === 'Manual') {
    ctx.hint(`Agents that join with it wait until their key stands in its spec.approvedKeys.`);
  }
  await hintAtExistingSite(hub.client, options, ctx.hint);
  return exitCode.ok;
};

/** Throws UsageError for what agents cannot use. */
export function checkHubUrls(urls: readonly string[] = []): readonly string[] {
  for (const url of urls) {
    if (URL.parse(url)?.protocol !== 'https:') {
      throw new UsageError(`--hub-url ${JSON.stringify(url)} is not an https:// address`);
    }
  }
  return urls;
}

const maxAttempts = 5;

/** Makes the token, or takes the one that is there when it is still good; an unfit one of ours is replaced. */
export async function ensureToken(
  client: HttpClient,
  wanted: EnrollmentToken,
  now: Date,
): Promise<EnrollmentToken> {
  const { name } = wanted.metadata;
  for (let attempt = 1; ; attempt++) {
    const present = await client.find<EnrollmentToken>(enrollmentTokens, { name });
    if (present !== undefined && isStillGood(present, wanted, now)) return present;
    if (present !== undefined && !isMadeByThisCommand(present)) {
      throw new CommandError(
        `EnrollmentToken ${name} was made by somebody else, and is used up, expired or not what is asked for`,
        `Delete it first: kubectl delete enrollmenttoken ${name}`,
      );
    }
    try {
      const uid = present?.metadata.uid;
      if (uid !== undefined) await client.delete(enrollmentTokens, { name }, { preconditions: { uid } });
      return await client.create(enrollmentTokens, wanted);
    } catch (error) {
      // Somebody else asks for the same token at this moment: theirs will do.
      const isRace = isConflict(error) || isNotFound(error) || isAlreadyExists(error);
      if (!isRace || attempt === maxAttempts) throw error;
    }
  }
}

/** What the hub says of a token: its text and, when `install` is asked for, addresses of manifests. */
export interface IssuedToken {
  readonly token: string;
  readonly installUrls?: readonly string[];
  readonly installExpirationTimestamp?: string;
}

export async function readToken(
  client: HttpClient,
  name: string,
  install?: InstallWish,
): Promise<IssuedToken> {
  const answer = await client.request<KubeObject>({
    method: 'POST',
    path: resourcePath(enrollmentTokens, { name, subresource: 'token' }),
    body: {
      apiVersion: 'selvedge.dev/v1alpha1',
      kind: 'EnrollmentTokenRequest',
      metadata: { name },
      ...(install === undefined ? {} : { spec: { install } }),
    },
  });
  const status = answer['status'] as Partial<IssuedToken> | undefined;
  const token = status?.token;
  if (typeof token !== 'string' || token === '') {
    throw new CommandError(
      'the hub answered without a token',
      'Check that hub and selvedge have one version.',
    );
  }
  return { ...status, token };
}

export async function hintAtExistingSite(
  client: HttpClient,
  { site: name, labels }: TokenOptions,
  hint: (line: string) => void,
): Promise<void> {
  if (name.includes('{')) return;
  const site = await client.find<Site>(sites, { name });
  if (site === undefined) return;
  if (labels !== undefined) hint(`Site ${name} exists already: its labels stay as they are.`);
  const fingerprint = site.status?.agent?.keyFingerprint;
  if (fingerprint !== undefined && site.spec?.revokedKeys?.includes(fingerprint) !== true) {
    hint(
      `Site ${name} has an agent: another can only join after "selvedge site revoke ${name}" took its key away.`,
    );
  }
}
