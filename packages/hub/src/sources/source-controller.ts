import { type Application, applications, isStatusError } from '@selvedge/api';
import {
  type KeySource,
  keyOfObject,
  keysFromInformer,
  nameOfKey,
  type ReconcileResult,
  runController,
} from '@selvedge/kube';
import type { ControllerContext } from '../controllers/controller-context.ts';
import { coalesced } from '../controllers/key-sources.ts';
import { checkReading, checkVariants } from './check-reading.ts';
import { withForeignEscaped } from './foreign-references.ts';
import { presentSource, sourceDigests } from './source-content.ts';
import type { SourceCounts, SourceState } from './source-counts.ts';
import { SourceLooks } from './source-looks.ts';
import type { ReadSourceKind, SourceReaders } from './source-readers.ts';
import { type AddedReading, SourceError, type SourceReader, type SourceReading } from './source-reading.ts';
import { sourceKindOf } from './source-spec.ts';
import { keysOfCharts, keysOfReferences } from './source-wakes.ts';
import { forgetSource, storeAdded, storeReading, writeSourceStatus } from './store-reading.ts';

export interface SourceControllerOptions {
  readonly readers: SourceReaders;
  /** Beside Applications: keys of those whose source may have moved. */
  readonly wakes?: readonly KeySource[];
  readonly counts?: SourceCounts;
  readonly random?: () => number;
}

/** Sources looked at at the same time: most of a look is waiting. */
const concurrency = 12;
/** Those of one namespace: slow servers of one team do not hold up the others. */
const concurrencyOfNamespace = 8;
/** Until there is a turn for the namespace again, perhaps. */
const turnSeconds = 1;
/** Over all; each reader has narrower limits of its own. */
const longestLookMilliseconds = 300_000;
/** Of a change of many Sites that concerns one chart. */
const siteRestMilliseconds = 2_000;

/** Faults of what stands there: the same revision gives the same again. */
const lastingFaults: ReadonlySet<SourceError['fault']> = new Set([
  'RenderFailed',
  'InvalidManifests',
  'SourceEmpty',
]);

/**
 * Reads what Applications come from, other than from themselves: when it moves, the manifests become content, and `status.source` names
 * it. A source that fails or turns empty changes nothing but the condition `SourceReady`. Releases are made by the application controller.
 */
export async function runSourceController(
  ctx: ControllerContext,
  options: SourceControllerOptions,
): Promise<void> {
  const { informers, clock, logger, signal } = ctx;
  const looks = new SourceLooks(options.random ?? Math.random);
  const work = { ctx, options, looks, underWay: new Map<string, number>() };
  await runController({
    name: 'source',
    sources: [
      keysFromInformer(informers.applications, (application) => {
        const key = keyOfObject(application);
        looks.notice(key, application, clock.now());
        return [key];
      }),
      keysOfReferences(ctx, (key) => looks.hurry(key)),
      coalesced(keysOfCharts(ctx), { clock, milliseconds: siteRestMilliseconds, signal }),
      ...(options.wakes ?? []),
    ],
    concurrency,
    reconcile: (key) => reconcile(work, key),
    clock,
    logger,
    signal,
  });
  options.counts?.forgetStates();
}

interface Work {
  readonly ctx: ControllerContext;
  readonly options: SourceControllerOptions;
  readonly looks: SourceLooks;
  /** Looks under way, by namespace. */
  readonly underWay: Map<string, number>;
}

async function reconcile(work: Work, key: string): Promise<ReconcileResult> {
  const { ctx, options, looks } = work;
  const application = ctx.informers.applications.find(nameOfKey(key));
  const kind = application && sourceKindOf(application);
  if (!application || application.metadata.deletionTimestamp !== undefined || !kind || kind === 'inline') {
    looks.forget(key);
    options.counts?.note(key, undefined);
    if (application && application.metadata.deletionTimestamp === undefined)
      await forgetSource(ctx, application);
    return 'done';
  }
  options.counts?.note(key, stateOf(application, kind));
  const reader = options.readers[kind] ?? missingReader(kind);
  const isLacking = reader.isLacking?.(application) === true;
  const known = { now: ctx.clock.now(), isPresent: isWell(application) && !isLacking };
  const secondsLeft = reader.isWatched ? 0 : looks.secondsLeft(key, application, known);
  const isDue = secondsLeft === 0 || (isLacking && !hasFailed(application));
  let looked = application;
  if (isDue) {
    const { namespace = '' } = application.metadata;
    const underWay = work.underWay.get(namespace) ?? 0;
    if (underWay >= concurrencyOfNamespace) return { requeueAfterSeconds: turnSeconds };
    work.underWay.set(namespace, underWay + 1);
    try {
      looked = await lookAtNewest(work, { key, application, reader, kind });
    } finally {
      work.underWay.set(namespace, (work.underWay.get(namespace) ?? 1) - 1);
    }
  }
  const seconds = reader.isWatched
    ? Infinity
    : looks.secondsLeft(key, looked, { ...known, now: ctx.clock.now() });
  return Number.isFinite(seconds) ? { requeueAfterSeconds: Math.max(seconds, 0.1) } : 'done';
}

interface Look {
  readonly key: string;
  readonly application: Application;
  readonly reader: SourceReader;
  readonly kind: ReadSourceKind;
  readonly isLacking: boolean;
}

/**
 * The copy in memory may not have heard yet of what the last look wrote: a chart would be rendered again, with other random passwords, or the
 * older rendering written over the newer. Resolves to what was looked at.
 */
async function lookAtNewest(work: Work, at: Omit<Look, 'isLacking'>): Promise<Application> {
  const { reader, application, kind } = at;
  const newest = await work.ctx.client.find<Application>(applications, application.metadata);
  // What became of it is an event of its own.
  if (newest?.metadata.uid !== application.metadata.uid || newest === undefined) return application;
  if (newest.metadata.deletionTimestamp !== undefined || sourceKindOf(newest) !== kind) return application;
  await look(work, { ...at, application: newest, isLacking: reader.isLacking?.(newest) === true });
  return newest;
}

async function look(work: Work, at: Look): Promise<void> {
  const { ctx, options, looks } = work;
  const { key, application, reader, kind } = at;
  const { clock } = ctx;
  const startedTime = clock.now().getTime();
  const seen: { revision?: string | undefined } = {};
  looks.began(key);
  try {
    const isChanged = await readIfMoved(work, at, seen);
    options.counts?.count(kind, isChanged ? 'changed' : 'unchanged');
    looks.succeeded(key, application, { now: clock.now(), isLast: reader.isFixed?.(application) === true });
  } catch (cause) {
    if (ctx.signal.aborted) return;
    // The store, not the source: tried again by the controller.
    if (isStatusError(cause)) throw cause;
    const error = cause instanceof SourceError ? cause : unexpected(ctx, at, cause);
    options.counts?.count(kind, error.fault);
    const revision = lastingFaults.has(error.fault) ? seen.revision : undefined;
    looks.failed(key, application, { now: clock.now(), error, revision });
    await writeSourceStatus(ctx, application, { error });
  } finally {
    options.counts?.took(kind, (clock.now().getTime() - startedTime) / 1000);
  }
}

/** Resolves to whether something was read and kept. */
async function readIfMoved(
  { ctx, looks }: Work,
  { key, application, reader, isLacking }: Look,
  seen: { revision?: string | undefined },
): Promise<boolean> {
  const ending = new AbortController();
  const stop = new AbortController();
  const signal = AbortSignal.any([ctx.signal, ending.signal]);
  void ctx.clock.sleep(longestLookMilliseconds, stop.signal).then(() => {
    if (!stop.signal.aborted) ending.abort(new SourceError('LimitExceeded', tooLong));
  });
  try {
    const last = presentSource(application);
    // Who asks for a refresh does so by a clock of their own; what is too old is judged by the hub's.
    const asked = looks.withAskedTime(key, application);
    const revision = await reader.findRevision(asked, signal);
    seen.revision = revision;
    const isSame = revision !== undefined && revision === last?.revision;
    const kept = isSame && (await isKept(ctx, application)) ? last : undefined;
    if (kept && !isLacking) {
      await writeSourceStatus(ctx, application, {});
      return false;
    }
    const failure = revision === undefined ? undefined : looks.findFailure(key, application, revision);
    if (failure) throw failure;
    if (kept && reader.readLacking) {
      const added = withAddedEscaped(await reader.readLacking(asked, signal));
      checkVariants(application, added);
      if (added.revision === kept.revision) return await storeAdded(ctx, application, { last: kept, added });
      // It moved in this moment: all of it is read.
    }
    const reading = withOwnReferences(await reader.read(asked, signal));
    seen.revision = reading.revision;
    checkReading(application, reading);
    return await storeReading(ctx, application, reading);
  } catch (error) {
    // Whatever came of it: it was ended.
    if (ending.signal.aborted) throw ending.signal.reason;
    throw error;
  } finally {
    stop.abort();
  }
}

const tooLong = `Reading it took longer than ${longestLookMilliseconds / 60_000} minutes: make it smaller, or look at its server.`;

/** Whether the hub still has what was read last; it was lost with a backup perhaps. */
async function isKept({ fleet }: ControllerContext, application: Application): Promise<boolean> {
  for (const digest of sourceDigests(application)) {
    if (!(await fleet.hasBlob(digest))) return false;
  }
  return true;
}

function withOwnReferences({ revision, manifests, variants }: SourceReading): SourceReading {
  return {
    revision,
    manifests: withForeignEscaped(manifests),
    ...(variants
      ? {
          variants: variants.map((variant) => ({
            ...variant,
            manifests: withForeignEscaped(variant.manifests),
          })),
        }
      : {}),
  };
}

function withAddedEscaped({ revision, variants }: AddedReading): AddedReading {
  return {
    revision,
    variants: variants.map((variant) =>
      variant.manifests === undefined
        ? variant
        : { ...variant, manifests: withForeignEscaped(variant.manifests) },
    ),
  };
}

function unexpected({ logger }: ControllerContext, { key, kind }: Look, error: unknown): SourceError {
  logger.warn('source not read', { object: key, source: kind, error });
  const message = 'The hub failed to read it, by a fault of its own: its log says which.';
  return new SourceError('SourceUnavailable', message, { cause: error });
}

function missingReader(kind: ReadSourceKind): SourceReader {
  const fail = () =>
    Promise.reject(new SourceError('ProgramMissing', `This hub cannot read sources of kind ${kind}.`));
  return { findRevision: fail, read: fail };
}

function stateOf(application: Application, kind: ReadSourceKind): SourceState {
  const { name, namespace = '' } = application.metadata;
  return { namespace, application: name, kind, isReady: isWell(application) };
}

/** The last look at what the spec names now found nothing wrong. */
function isWell(application: Application): boolean {
  return presentSource(application) !== undefined && !hasFailed(application);
}

function hasFailed({ status }: Application): boolean {
  return (
    status?.conditions?.some(({ type, status }) => type === 'SourceReady' && status === 'False') === true
  );
}
