import { setImmediate } from 'node:timers/promises';
import { isDeepStrictEqual } from 'node:util';
import {
  type Condition,
  type Machine,
  machines,
  type MachineTag,
  machineTagLabelPrefix,
  machineTags,
} from '@selvedge/api';
import { type KeySource, keysFromInformer, type ReconcileResult, runController } from '@selvedge/kube';
import { type ExpressionAnswer, ExpressionAnswers, readAnswer } from '../../machines/expression-answers.ts';
import type { MachineFacts } from '../../machines/machine-facts.ts';
import { withCondition } from '../../rollout/conditions.ts';
import type { ControllerContext } from '../controller-context.ts';
import { coalesced } from '../key-sources.ts';

interface TagContext extends ControllerContext {
  readonly answers: ExpressionAnswers;
}

/** Counting again reads all machines: a hundred of them that were inspected together are counted once. */
const settleMilliseconds = 1_000;

/**
 * Keeps on each Machine which MachineTags it has: as labels, for selectors, and in `status.tags`. A machine that was inspected again and no longer fits loses the tag;
 * an expression that has no answer for a machine does not give it the tag, and the tag says so.
 */
export function runMachineTagController(ctx: ControllerContext): Promise<void> {
  const { clock, logger, signal } = ctx;
  const tagContext: TagContext = { ...ctx, answers: new ExpressionAnswers() };
  return runController({
    name: 'machine-tag',
    sources: [
      ...machineKeys(ctx),
      coalesced(tagKeys(ctx), { clock, milliseconds: settleMilliseconds, signal }),
    ],
    reconcile: (key) => {
      const [kind = '', name = ''] = key.split('/');
      return kind === 'machine' ? tagMachine(tagContext, name) : countMachines(tagContext, name);
    },
    concurrency: 4,
    clock,
    logger,
    signal,
  });
}

/** Machines whose tags may be others now. */
function machineKeys({ informers }: ControllerContext): KeySource[] {
  const all = () => informers.machines.list().map(keyOfMachine);
  return [
    fromChanges(informers.machines, (machine) => [keyOfMachine(machine)]),
    keysFromInformer(informers.machineTags, all),
  ];
}

/** Tags whose machines may be others now. */
function tagKeys({ informers }: ControllerContext): KeySource {
  const tags = keysFromInformer(informers.machineTags, (tag) => [keyOfTag(tag)]);
  const ofMachines = fromChanges(informers.machines, () => informers.machineTags.list().map(keyOfTag));
  return {
    synced: Promise.all([tags.synced, ofMachines.synced]).then(() => undefined),
    subscribe: (enqueue) => {
      const ends = [tags.subscribe(enqueue), ofMachines.subscribe(enqueue)];
      return () => {
        for (const end of ends) end();
      };
    },
  };
}

const keyOfMachine = ({ metadata }: MachineFacts): string => `machine/${metadata.name}`;
const keyOfTag = ({ metadata }: MachineTag): string => `tag/${metadata.name}`;

/** Only changes that tags can read: a machine says several times in a minute how far its image is written. */
function fromChanges(
  informer: ControllerContext['informers']['machines'],
  keysFor: (machine: MachineFacts) => readonly string[],
): KeySource {
  const factsOf = ({ metadata, spec, status }: MachineFacts) =>
    [metadata.labels, spec.siteName, status?.inventoryDigest, status?.tags] as const;
  return {
    synced: informer.synced,
    subscribe: (enqueue) => {
      const tell = (machine: MachineFacts) => {
        for (const key of keysFor(machine)) enqueue(key);
      };
      return informer.onChange({
        add: tell,
        update: (machine, previous) => {
          if (!isDeepStrictEqual(factsOf(machine), factsOf(previous))) tell(machine);
        },
        delete: tell,
      });
    },
  };
}

async function tagMachine(
  { client, informers, answers }: TagContext,
  name: string,
): Promise<ReconcileResult> {
  const machine = await client.find<Machine>(machines, { name });
  if (!machine || machine.metadata.deletionTimestamp !== undefined) return 'done';
  const tags: string[] = [];
  for (const tag of informers.machineTags.list()) {
    if (tag.metadata.deletionTimestamp !== undefined) continue;
    const { expression } = tag.spec;
    // Each may take milliseconds: others get their turn in between.
    if (answers.find(expression, machine) === undefined) await setImmediate();
    if (answers.ask(expression, machine).has) tags.push(tag.metadata.name);
  }
  tags.sort();
  const { resourceVersion, labels = {} } = machine.metadata;
  const change: Record<string, string | null> = {};
  for (const key of Object.keys(labels)) {
    if (key.startsWith(machineTagLabelPrefix) && !tags.includes(key.slice(machineTagLabelPrefix.length))) {
      change[key] = null;
    }
  }
  for (const tag of tags) {
    const key = machineTagLabelPrefix + tag;
    // A label is part of a name: a tag whose name is too long for one stands in the status only.
    if (labels[key] !== '' && tag.length <= 63) change[key] = '';
  }
  if (Object.keys(change).length > 0) {
    await client.mergePatch(machines, { name }, { metadata: { resourceVersion, labels: change } });
  }
  if (!isDeepStrictEqual(machine.status?.tags ?? [], tags)) {
    await client.mergePatch(machines, { name }, { status: { tags } }, { subresource: 'status' });
  }
  return 'done';
}

async function countMachines(ctx: TagContext, name: string): Promise<ReconcileResult> {
  const { client, informers, answers, clock } = ctx;
  const all = informers.machines.list();
  answers.keepOnly(
    all,
    informers.machineTags.list().map(({ spec }) => spec.expression),
  );
  const tag = await client.find<MachineTag>(machineTags, { name });
  if (!tag || tag.metadata.deletionTimestamp !== undefined) return 'done';
  const { expression } = tag.spec;
  const given: (ExpressionAnswer & { readonly machine: MachineFacts })[] = [];
  for (const machine of all) {
    given.push({ machine, ...(await readAnswer(ctx, expression, machine)) });
  }
  const count = given.filter(({ has }) => has).length;
  const faulty = given.filter(({ fault }) => fault !== undefined);
  const [first] = faulty;
  const broken = answers.faultOf(expression);
  let ready: Pick<Condition, 'status' | 'reason' | 'message'> = {
    status: 'True',
    reason: 'Evaluated',
    message: `${count} of ${all.length} machines have it.`,
  };
  if (broken !== undefined) {
    ready = {
      status: 'False',
      reason: 'ExpressionInvalid',
      message: `spec.expression cannot be used: ${broken}`,
    };
  } else if (first) {
    const message = `It has no answer for ${faulty.length} of ${all.length} machines, which therefore lack the tag; ${first.machine.metadata.name}: ${first.fault ?? ''}. Ask with has(…) whether a field is there.`;
    ready = { status: 'False', reason: 'NoAnswer', message };
  }
  const observedGeneration = tag.metadata.generation ?? 0;
  const before = tag.status?.conditions ?? [];
  const conditions = withCondition(
    before,
    { type: 'Ready', ...ready, observedGeneration },
    clock.now().toISOString(),
  );
  const status = { machines: count, conditions };
  if (!isDeepStrictEqual(status, tag.status)) await client.updateStatus(machineTags, { ...tag, status });
  return 'done';
}
