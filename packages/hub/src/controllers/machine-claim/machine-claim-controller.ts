import {
  isConflict,
  isNotFound,
  isStatusError,
  type Machine,
  type MachineClaim,
  machineClaims,
  type MachineImage,
  machines,
  type StatusError,
} from '@selvedge/api';
import {
  type KeySource,
  keysFromInformer,
  nameOfKey,
  type ReconcileResult,
  runController,
} from '@selvedge/kube';
import { isDeepStrictEqual } from 'node:util';
import { ExpressionAnswers, readAnswer } from '../../machines/expression-answers.ts';
import { type MachineFacts, machineFacts } from '../../machines/machine-facts.ts';
import { type FitFacts, MachineFit } from '../../machines/machine-fit.ts';
import type { ControllerContext } from '../controller-context.ts';
import { coalesced } from '../key-sources.ts';
import { boundStatus, lostStatus, pendingStatus } from './claim-status.ts';
import { releaseMachine } from './release-machine.ts';

export const claimFinalizer = 'selvedge.dev/machine-claim';

/** Labels of many sites may change in one go. */
const settleMilliseconds = 5_000;

interface ClaimContext extends ControllerContext {
  /** By UID of the claim, the machine that it was last tried to give it here: what is heard of lags behind that. */
  readonly chosen: Map<string, string>;
  readonly answers: ExpressionAnswers;
}

/**
 * Gives each MachineClaim its machine: one at a time, so that the same claims and machines lead to the same pairs. The machine says whose it is
 * (`spec.consumer`, compared and set); what a claim says of its machine only repeats that.
 */
export function runMachineClaimController(ctx: ControllerContext): Promise<void> {
  const { informers, clock, logger, signal } = ctx;
  const claimContext: ClaimContext = { ...ctx, chosen: new Map(), answers: new ExpressionAnswers() };
  return runController({
    name: 'machine-claim',
    sources: [
      keysFromInformer(informers.machineClaims),
      keysFromMachines(ctx),
      keysFromInformer(informers.machineImages, () => waiting(ctx)),
      coalesced(
        keysFromInformer(informers.sites, () => waiting(ctx)),
        {
          clock,
          milliseconds: settleMilliseconds,
          signal,
        },
      ),
    ],
    concurrency: 1,
    reconcile: (key) => reconcile(claimContext, key),
    clock,
    logger,
    signal,
  });
}

/** Those without a machine, the oldest first. */
function waiting({ informers }: ControllerContext): string[] {
  return informers.machineClaims
    .list()
    .filter(({ status }) => status?.phase !== 'Bound' && status?.phase !== 'Ready')
    .toSorted((a, b) =>
      (a.metadata.creationTimestamp ?? '') < (b.metadata.creationTimestamp ?? '') ? -1 : 1,
    )
    .map(({ metadata }) => metadata.name);
}

/** What of a machine matters to claims: not how far its image is written. */
function matterOf({ metadata, spec, status }: MachineFacts): unknown {
  const { phase, operationalStatus, disks, tags, inventoryDigest, provisioned, observedGeneration } =
    status ?? {};
  const shown = { phase, operationalStatus, disks, tags, inventoryDigest, provisioned, observedGeneration };
  const { labels, deletionTimestamp } = metadata;
  return [labels, deletionTimestamp, spec, shown, status?.error?.reason, status?.waiting?.step];
}

function keysFromMachines(ctx: ControllerContext): KeySource {
  const { machines: informer } = ctx.informers;
  return {
    synced: informer.synced,
    subscribe: (enqueue) => {
      const tell = ({ metadata, spec }: MachineFacts) => {
        for (const { metadata: claim, spec: asked, status } of ctx.informers.machineClaims.list()) {
          const isIts = asked.machineName === metadata.name || status?.machineName === metadata.name;
          if (isIts || spec.consumer?.uid === claim.uid) enqueue(claim.name);
        }
        if (spec.consumer === undefined) for (const name of waiting(ctx)) enqueue(name);
      };
      return informer.onChange({
        add: tell,
        update: (machine, previous) => {
          if (isDeepStrictEqual(matterOf(machine), matterOf(previous))) return;
          if (previous.spec.consumer) tell(previous);
          tell(machine);
        },
        delete: tell,
      });
    },
  };
}

async function reconcile(ctx: ClaimContext, key: string): Promise<ReconcileResult> {
  const claim = await ctx.client.find<MachineClaim>(machineClaims, nameOfKey(key));
  if (!claim) return 'done';
  if (claim.metadata.deletionTimestamp !== undefined) return await end(ctx, claim);
  if (!claim.metadata.finalizers?.includes(claimFinalizer)) {
    const finalizers = [...(claim.metadata.finalizers ?? []), claimFinalizer];
    // The change wakes it again.
    await ctx.client.update(machineClaims, { ...claim, metadata: { ...claim.metadata, finalizers } });
    return 'done';
  }
  const held = await findHeld(ctx, claim);
  if (held) {
    await keepBound(ctx, claim, held);
    return 'done';
  }
  const { machineName } = claim.status ?? {};
  if (machineName !== undefined && claim.spec.machineName === machineName) {
    if (claim.status?.phase !== 'Lost') {
      const message = `machine ${machineName} is gone, or was given to somebody else`;
      ctx.recorder.record(claim, { type: 'Warning', reason: 'MachineLost', message });
    }
    await writeStatus(ctx, claim, lostStatus(claim, machineName, ctx.clock.now()));
    return 'done';
  }
  return await bind(ctx, claim);
}

/** The machine that says that it is the claim's; read anew. */
async function findHeld(
  { client, informers, chosen }: ClaimContext,
  claim: MachineClaim,
): Promise<Machine | undefined> {
  const isHeld = ({ spec }: MachineFacts | Machine) =>
    spec.consumer !== undefined && spec.consumer.uid === claim.metadata.uid;
  const names = new Set(
    [claim.status?.machineName, claim.spec.machineName, chosen.get(claim.metadata.uid ?? '')].filter(
      (name) => name !== undefined,
    ),
  );
  for (const machine of informers.machines.list()) if (isHeld(machine)) names.add(machine.metadata.name);
  for (const name of names) {
    const machine = await client.find<Machine>(machines, { name });
    if (machine && isHeld(machine)) return machine;
  }
  return undefined;
}

async function bind(ctx: ClaimContext, claim: MachineClaim): Promise<ReconcileResult> {
  const { client, informers, clock, logger, recorder, answers } = ctx;
  const { expression } = claim.spec.requirements ?? {};
  const all = informers.machines.list();
  const facts: FitFacts = {
    site: (name) => informers.sites.find({ name }),
    image: findImage(ctx, claim),
    isReleasing: (name) => isReleasing(ctx, name),
  };
  const fault = expression && answers.faultOf(expression);
  if (fault) {
    const why = `spec.requirements.expression cannot be used: ${fault}`;
    await writeStatus(ctx, claim, pendingStatus(claim, { why, candidates: 0, now: clock.now() }));
    return 'done';
  }
  const fit =
    expression === undefined
      ? new MachineFit(claim, facts)
      : await fitByExpression(ctx, claim, { facts, expression });
  const refused = new Map<string, string>();
  // What is heard of lags behind what was given away a moment ago: `undefined` is gone.
  const newest = new Map<string, MachineFacts | undefined>();
  let contested: StatusError | undefined;
  for (const { metadata } of fit.rank(all)) {
    const { name } = metadata;
    const machine = await client.find<Machine>(machines, { name });
    const known = machine && machineFacts(machine);
    newest.set(name, known);
    if (!machine || !known) continue;
    if (expression !== undefined) answers.ask(expression, machine);
    if (Object.keys(fit.judge(known)).length > 0) continue;
    // Before it is written: a write that seems to fail may be done, and from then on it is the claim's.
    ctx.chosen.set(claim.metadata.uid ?? '', name);
    let bound: Machine;
    try {
      bound = await client.update<Machine>(machines, withClaim(machine, claim));
    } catch (error) {
      if (isConflict(error)) contested = error;
      else if (isNotFound(error)) newest.set(name, undefined);
      else if (isStatusError(error, 'Invalid')) {
        // As it is stored it would be refused today: that keeps no claim from another.
        const why = whyRefused(error);
        logger.warn('machine not given to a claim', { machine: name, claim: claim.metadata.name, why });
        refused.set(name, why);
      } else throw error;
      continue;
    }
    recorder.record(claim, {
      type: 'Normal',
      reason: 'Bound',
      message: `machine ${bound.metadata.name} at site ${bound.spec.siteName} was chosen`,
    });
    await keepBound(ctx, claim, bound);
    return 'done';
  }
  // It may be free still, and what changed there may be nothing that would wake the claim: it is tried again.
  if (contested !== undefined) throw contested;
  const present = all.flatMap((machine) => {
    const { name } = machine.metadata;
    return newest.has(name) ? (newest.get(name) ?? []) : [machine];
  });
  const candidates = present.filter((machine) => fit.judge(machine).lacks === undefined).length;
  const why = fit.explain(present, refused);
  await writeStatus(ctx, claim, pendingStatus(claim, { why, candidates, now: clock.now() }));
  return 'done';
}

/** By its fields, and not by what stands there, which may be long. */
function whyRefused({ details: { causes = [] } }: StatusError): string {
  const fields = causes.map(({ field }) => field);
  return `not valid any more as a Machine, in ${fields.join(', ') || 'its spec'}`;
}

/** Asks about those that would do otherwise: their inventories are read for it, once for each. */
async function fitByExpression(
  ctx: ClaimContext,
  claim: MachineClaim,
  { facts, expression }: { readonly facts: FitFacts; readonly expression: string },
): Promise<MachineFit> {
  const { informers, answers } = ctx;
  const all = informers.machines.list();
  const expressions = informers.machineClaims.list().map(({ spec }) => spec.requirements?.expression);
  answers.keepOnly(all, [expression, ...expressions.filter((text) => text !== undefined)]);
  const otherwise = new MachineFit(claim, facts);
  for (const known of all) {
    if (otherwise.judge(known).lacks === undefined) await readAnswer(ctx, expression, known);
  }
  return new MachineFit(claim, {
    ...facts,
    meets: (machine) => answers.find(expression, machine)?.has ?? false,
  });
}

/** A claim that goes has promised an erase, and waits for it. */
function isReleasing({ informers }: ControllerContext, machine: string): boolean {
  return informers.machineClaims
    .list()
    .some(
      ({ metadata, status }) => metadata.deletionTimestamp !== undefined && status?.machineName === machine,
    );
}

function findImage({ informers }: ControllerContext, { spec }: MachineClaim): MachineImage | undefined {
  return spec.image === undefined ? undefined : informers.machineImages.find({ name: spec.image });
}

/** The machine as the claim wants it. */
function withClaim(machine: Machine, { metadata, spec }: MachineClaim): Machine {
  const { name, uid = '' } = metadata;
  const { image, hostname, userData, networkConfig, rootDevice } = spec;
  const { provision: _, ...rest } = machine.spec;
  const provision =
    image === undefined
      ? {}
      : {
          provision: {
            image,
            instanceId: uid,
            ...(hostname === undefined ? {} : { hostname }),
            ...(userData === undefined ? {} : { userData }),
            ...(networkConfig === undefined ? {} : { networkConfig }),
            ...(rootDevice === undefined ? {} : { rootDevice }),
          },
        };
  return { ...machine, spec: { ...rest, consumer: { kind: 'MachineClaim', name, uid }, ...provision } };
}

/** What the claim says of image and user data now holds for its machine; its status says how far that is. */
async function keepBound(ctx: ClaimContext, claim: MachineClaim, machine: Machine): Promise<void> {
  const { client, clock } = ctx;
  const wanted = withClaim(machine, claim);
  const kept = isDeepStrictEqual(wanted.spec, machine.spec)
    ? machine
    : await client.update<Machine>(machines, wanted);
  const { name } = machine.metadata;
  let present = claim;
  if (claim.spec.machineName !== name) {
    const { resourceVersion } = claim.metadata;
    const patch = { metadata: { resourceVersion }, spec: { machineName: name } };
    present = await client.mergePatch<MachineClaim>(machineClaims, { name: claim.metadata.name }, patch);
  }
  await writeStatus(ctx, present, boundStatus(present, kept, clock.now()));
}

/** The claim is deleted: first its machine is let go. */
async function end(ctx: ClaimContext, claim: MachineClaim): Promise<ReconcileResult> {
  const finalizers = claim.metadata.finalizers ?? [];
  if (!finalizers.includes(claimFinalizer)) return 'done';
  const machine = await findHeld(ctx, claim);
  const waits = await releaseMachine(ctx, claim, machine);
  if (waits !== undefined) {
    await writeStatus(ctx, claim, waits);
    return 'done';
  }
  ctx.chosen.delete(claim.metadata.uid ?? '');
  const left = finalizers.filter((one) => one !== claimFinalizer);
  await ctx.client.update(machineClaims, { ...claim, metadata: { ...claim.metadata, finalizers: left } });
  return 'done';
}

async function writeStatus(
  { client }: ControllerContext,
  claim: MachineClaim,
  status: NonNullable<MachineClaim['status']>,
): Promise<void> {
  if (isDeepStrictEqual(status, claim.status)) return;
  await client.updateStatus(machineClaims, { ...claim, status });
}
