import { isConflict, type Rollout, rollouts } from '@selvedge/api';
import type { HttpClient } from '@selvedge/kube';
import { confirm } from '../program/confirm.ts';
import { type ConnectOptions, connect } from '../program/connect.ts';
import { exitCode } from '../program/exit-code.ts';
import { type Command, formatDocument, type OutputFormat } from '../program/terminal.ts';
import { getRollout, rolloutsOf } from './find-rollout.ts';
import { type ChangeKind, planChange, type RolloutChange } from './rollout-change.ts';

export type { ChangeKind } from './rollout-change.ts';

export interface ChangeOptions extends ConnectOptions {
  readonly kind: ChangeKind;
  readonly name: string;
  readonly namespace?: string;
  readonly output: OutputFormat;
  readonly yes?: boolean;
}

/** Pauses, resumes, promotes…: one field of the Rollout is written; the hub does the rest. */
export const changeCommand: Command<ChangeOptions> = async (options, ctx) => {
  await using hub = await connect(options, ctx.process);
  const namespace = options.namespace ?? hub.namespace ?? 'default';
  const rollout = await getRollout(hub.client, { name: options.name, namespace });
  const [newest = rollout] = await rolloutsOf(hub.client, namespace, rollout.spec.application);
  const plan = (present: Rollout) =>
    planChange(options.kind, present, { now: ctx.process.clock.now(), newest: newest.metadata.name });
  const wish = plan(rollout);
  if (options.kind === 'revert' && wish.patch !== undefined && options.yes !== true) {
    const { running = 0, wanted = 0 } = rollout.status?.sites ?? {};
    await confirm(ctx.process, {
      question: `${rollout.spec.release} runs at ${running} of ${wanted} sites. It will be condemned, and they go back. Revert? [y/N] `,
      otherwise: 'reverting asks for confirmation; pass --yes where nobody can answer',
      declined: 'nothing was reverted',
    });
  }
  const change = await carryOut(hub.client, rollout, { first: wish, plan });
  if (options.output === 'table') {
    ctx.print(change.done);
    ctx.print(change.next);
  } else {
    const { metadata, spec } = rollout;
    const document = {
      rollout: metadata.name,
      namespace,
      application: spec.application,
      release: spec.release,
      isChanged: change.patch !== undefined,
      done: change.done,
      next: change.next,
    };
    ctx.print(await formatDocument(options.output, document));
  }
  return exitCode.ok;
};

const maxAttempts = 5;

/** Bound to the state that it was thought out for; when another write comes between, it is thought out again. */
async function carryOut(
  client: HttpClient,
  rollout: Rollout,
  { first, plan }: { first: RolloutChange; plan: (present: Rollout) => RolloutChange },
): Promise<RolloutChange> {
  const { name, namespace = '' } = rollout.metadata;
  let [present, change] = [rollout, first];
  for (let attempt = 1; ; attempt++) {
    if (change.patch === undefined) return change;
    const { resourceVersion } = present.metadata;
    const patch = { metadata: { resourceVersion }, spec: change.patch };
    try {
      await client.mergePatch(rollouts, { name, namespace }, patch, { fieldManager: 'selvedge-cli' });
      return change;
    } catch (error) {
      if (!isConflict(error) || attempt === maxAttempts) throw error;
    }
    present = await client.get<Rollout>(rollouts, { name, namespace });
    change = plan(present);
  }
}
