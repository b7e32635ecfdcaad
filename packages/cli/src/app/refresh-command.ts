import { type Application, applications, type Condition, printable } from '@selvedge/api';
import { connect } from '../program/connect.ts';
import { CommandError, exitCode } from '../program/exit-code.ts';
import { type Command, formatDocument } from '../program/terminal.ts';
import { getApplication } from './get-application.ts';
import type { AppOptions } from './show-command.ts';

export interface RefreshOptions extends AppOptions {
  /** false: not until the hub has looked. */
  readonly wait: boolean;
}

const refreshAnnotation = 'selvedge.dev/refresh-requested-at';
const lookMilliseconds = 500;
/** Longer than any look at a source may take, and the wait for its turn. */
const longestMilliseconds = 360_000;

/** Asks the hub to look at the source of an application now, and tells what it found. */
export const refreshAppCommand: Command<RefreshOptions> = async (options, ctx) => {
  await using hub = await connect(options, ctx.process);
  const { clock, signal } = ctx.process;
  const namespace = options.namespace ?? hub.namespace ?? 'default';
  const { name } = options;
  const before = await getApplication(hub.client, { name, namespace });
  if (before.spec.source.inline) {
    throw new CommandError(
      `the manifests of ${name} stand in the application itself: there is nothing to look at`,
      'Change them with kubectl apply.',
    );
  }
  const asked = clock.now().toISOString();
  const patch = { metadata: { annotations: { [refreshAnnotation]: asked } } };
  const settings = { fieldManager: 'selvedge-cli' };
  await hub.client.mergePatch<Application>(applications, { namespace, name }, patch, settings);
  if (!options.wait) {
    ctx.print(`The hub looks at the source of ${name}; selvedge app show ${name} tells what it finds.`);
    return exitCode.ok;
  }
  const end = clock.now().getTime() + longestMilliseconds;
  for (;;) {
    const application = await getApplication(hub.client, { name, namespace });
    if (application.status?.lastRefresh === asked) {
      if (options.output === 'table') ctx.print(foundText(before, application));
      else ctx.print(await formatDocument(options.output, application.status));
      return hasFailed(application) ? exitCode.trouble : exitCode.ok;
    }
    if (application.metadata.annotations?.[refreshAnnotation] !== asked) {
      ctx.print(`Somebody else has asked since; selvedge app show ${name} tells what the hub finds.`);
      return exitCode.ok;
    }
    if (clock.now().getTime() > end) {
      throw new CommandError(
        `the hub has not looked at the source of ${name} within 6 minutes`,
        'Its log says what it does instead.',
      );
    }
    await clock.sleep(lookMilliseconds, signal);
    if (signal.aborted) return exitCode.ok;
  }
};

function readyCondition({ status }: Application): Condition | undefined {
  return status?.conditions?.find(({ type }) => type === 'SourceReady');
}

function hasFailed(application: Application): boolean {
  return readyCondition(application)?.status === 'False';
}

function foundText(before: Application, after: Application): string {
  const { status, metadata } = after;
  const condition = readyCondition(after);
  if (condition?.status === 'False') return printable(`${condition.reason}: ${condition.message}`);
  const { revision = '', manifests = 0 } = status?.source ?? {};
  const isSame = before.status?.source?.revision === revision;
  return printable(
    isSame
      ? `Nothing new: ${metadata.name} is at ${revision}.`
      : `${metadata.name} is at ${revision}, with ${manifests} manifests.`,
  );
}
