import { isNotFound, type Release, releases } from '@selvedge/api';
import { resourcePath } from '@selvedge/kube';
import { type ConnectOptions, connect } from '../program/connect.ts';
import { CommandError, exitCode } from '../program/exit-code.ts';
import { type Command, formatDocument, type OutputFormat } from '../program/terminal.ts';

export interface LiftOptions extends ConnectOptions {
  readonly release: string;
  readonly namespace?: string;
  readonly reason?: string;
  readonly output: OutputFormat;
}

/** Takes a condemnation away; the hub then rolls the release out anew where it is still the wanted one. */
export const liftCommand: Command<LiftOptions> = async (options, ctx) => {
  await using hub = await connect(options, ctx.process);
  const namespace = options.namespace ?? hub.namespace ?? 'default';
  const name = options.release;
  const release = await hub.client.find<Release>(releases, { namespace, name });
  if (release === undefined) {
    const { items } = await hub.client.list<Release>(releases, { namespace });
    const condemned = items.filter(({ status }) => status?.condemned).map(({ metadata }) => metadata.name);
    throw new CommandError(
      `there is no release ${name} in namespace ${namespace}`,
      condemned.length > 0
        ? `Condemned there: ${condemned.slice(0, 5).join(', ')}`
        : 'No release is condemned there.',
    );
  }
  const before = release.status?.condemned;
  if (before === undefined) {
    const now = release.status?.lifted;
    const lifted = now === undefined ? '' : `; ${now.by} lifted that at ${now.time}`;
    throw new CommandError(`release ${name} is not condemned${lifted}`);
  }
  const lifted = await hub.client
    .request<Release>({
      method: 'POST',
      path: resourcePath(releases, { namespace, name, subresource: 'lift' }),
      body: options.reason === undefined ? {} : { reason: options.reason },
    })
    .catch((error: unknown) => {
      if (isNotFound(error)) throw new CommandError(`release ${name} is gone`, undefined, { cause: error });
      throw error;
    });
  if (options.output === 'table') {
    const { application } = release.spec;
    ctx.print(`${name} is allowed again: it was condemned in ${before.rollout} (${before.reason}).`);
    ctx.print(
      `If it is still what ${application} wants, a new rollout begins: selvedge rollout watch ${application} -n ${namespace}`,
    );
  } else ctx.print(await formatDocument(options.output, lifted));
  return exitCode.ok;
};
