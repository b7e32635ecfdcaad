import type { IncomingMessage } from 'node:http';
import { Readable } from 'node:stream';
import { type LinkUser, StatusError } from '@selvedge/api';

/** A refusal is short; one that is longer is passed on as it is. */
const longestRefusal = 16 * 1024;
const refusal = /cannot impersonate resource \\?"/;
/** `selvedge site manifest` allows it to everybody who may impersonate at all. */
const groupOfAll = 'system:authenticated';

/**
 * Body of an answer of the site's API. Throws Forbidden with what to do instead of the API's "cannot impersonate": those are the missing rights
 * of the agent, not of the user, and the API names them one at a time.
 */
export async function checkedBody(message: IncomingMessage, user: LinkUser): Promise<Readable> {
  const length = Number(message.headers['content-length']);
  if (message.statusCode !== 403 || !(length <= longestRefusal)) return message;
  const bytes = Buffer.concat((await message.toArray()) as Buffer[]);
  if (!refusal.test(bytes.toString('utf8'))) return Readable.from([bytes]);
  throw new StatusError('Forbidden', explanation(user));
}

function explanation({ name, groups }: LinkUser): string {
  const others = groups.filter((group) => group !== groupOfAll);
  const flags = [`--link-user ${quoted(name)}`, ...others.map((group) => `--link-group ${quoted(group)}`)];
  return (
    `the agent of this site may not ask its API in the name of ${JSON.stringify(name)} with all of that user's groups. ` +
    `Let it: selvedge site manifest SITE ${flags.join(' ')} | kubectl apply -f - (with the flags that were there before, ` +
    'which it replaces), or --with-link for everybody. By hand: a ClusterRole for the agent with the verb impersonate ' +
    'on these users and groups, each with the prefix selvedge:'
  );
}

function quoted(name: string): string {
  return /^[\w.:@/+-]+$/.test(name) ? name : `'${name.replaceAll("'", "'\\''")}'`;
}
