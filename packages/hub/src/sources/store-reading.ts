import {
  type Application,
  type ApplicationStatus,
  applications,
  type Condition,
  isConflict,
  type KubeObject,
  type ObjectClient,
  type SourceStatus,
} from '@selvedge/api';
import { sha256Digest } from '@selvedge/api/node';
import { isDeepStrictEqual } from 'node:util';
import type { ControllerContext } from '../controllers/controller-context.ts';
import { storedStatus } from '../controllers/application/application-status.ts';
import { withCondition } from '../rollout/conditions.ts';
import { counted } from '../rollout/counted.ts';
import { manifestBytes } from './source-content.ts';
import { sourceKindOf, sourceSpecDigest, refreshAnnotation } from './source-spec.ts';
import type { AddedReading, SourceError, SourceReading } from './source-reading.ts';

type Parts = Pick<ControllerContext, 'client' | 'fleet' | 'contentLock' | 'clock' | 'recorder'>;

const maxMessage = 2_000;
const maxWrites = 5;

/**
 * Keeps what was read: the content first, then the status that names it. Resolves to whether it was kept: not, when the Application names
 * another source by now.
 */
export async function storeReading(
  parts: Parts,
  application: Application,
  reading: SourceReading,
): Promise<boolean> {
  const blobs = new Map<string, Uint8Array>();
  const digest = addBlob(blobs, reading.manifests);
  const variants = (reading.variants ?? []).map(({ overrides, manifests }) => ({
    overrides: [...overrides],
    digest: addBlob(blobs, manifests),
  }));
  return storeSource(parts, application, {
    blobs,
    source: {
      kind: sourceKindOf(application),
      revision: reading.revision,
      digest,
      specDigest: sourceSpecDigest(application),
      manifests: reading.manifests.length,
      readTime: parts.clock.now().toISOString(),
      ...(variants.length === 0 ? {} : { variants }),
    },
  });
}

/** The same for what is added to a source that has not moved. */
export async function storeAdded(
  parts: Parts,
  application: Application,
  { last, added }: { readonly last: SourceStatus; readonly added: AddedReading },
): Promise<boolean> {
  const blobs = new Map<string, Uint8Array>();
  const variants = added.variants.map((variant) => ({
    overrides: [...variant.overrides],
    digest: variant.manifests === undefined ? variant.digest : addBlob(blobs, variant.manifests),
  }));
  return storeSource(parts, application, { blobs, source: { ...last, variants } });
}

function addBlob(blobs: Map<string, Uint8Array>, manifests: readonly KubeObject[]): string {
  const bytes = manifestBytes(manifests);
  const digest = sha256Digest(bytes);
  blobs.set(digest, bytes);
  return digest;
}

function storeSource(
  parts: Parts,
  application: Application,
  { blobs, source }: { readonly blobs: ReadonlyMap<string, Uint8Array>; readonly source: SourceStatus },
): Promise<boolean> {
  const { fleet, contentLock } = parts;
  // Who deletes content that nobody names waits until it is named. In order, so that no two wait for each other.
  const store = [...blobs.keys()].toSorted().reduceRight(
    (work, blob) => () => contentLock.run(blob, work),
    async () => {
      for (const [blob, bytes] of blobs) {
        if (!(await fleet.hasBlob(blob))) await fleet.putBlob(blob, bytes);
      }
      return writeSourceStatus(parts, application, { source });
    },
  );
  return store();
}

/** What a look found: what was read, or why nothing new was. Neither: it is as it was. */
export interface LookFinding {
  readonly source?: SourceStatus;
  readonly error?: SourceError;
}

/** Writes only what differs. Resolves to false when the Application is gone, or names another source by now. */
export async function writeSourceStatus(
  { client, clock, recorder }: Parts,
  looked: Application,
  finding: LookFinding,
): Promise<boolean> {
  const specDigest = sourceSpecDigest(looked);
  return rewrite(client, looked, (newest) => {
    if (sourceSpecDigest(newest) !== specDigest) return undefined;
    const status = storedStatus(newest);
    const source = finding.source ?? status.source;
    const refresh = looked.metadata.annotations?.[refreshAnnotation]?.slice(0, 100);
    const condition = {
      ...conditionOf(newest, { ...finding, ...(source ? { source } : {}) }),
      observedGeneration: newest.metadata.generation ?? 0,
    };
    const present = status.conditions?.find(({ type }) => type === 'SourceReady');
    if (finding.error && (present?.reason !== condition.reason || present.message !== condition.message)) {
      recorder.record(newest, { type: 'Warning', reason: condition.reason, message: condition.message });
    }
    return {
      ...status,
      ...(source ? { source } : {}),
      ...mirroredSites(newest, finding),
      ...(refresh === undefined ? {} : { lastRefresh: refresh }),
      conditions: withCondition(status.conditions ?? [], condition, clock.now().toISOString()),
    };
  });
}

/** What is in the Application itself needs no reading: nothing is said of it. */
export async function forgetSource(
  { client }: Pick<Parts, 'client'>,
  application: Application,
): Promise<void> {
  const isForgotten = ({ status }: Application) =>
    status?.source === undefined &&
    status?.lastRefresh === undefined &&
    !status?.conditions?.some(({ type }) => type === 'SourceReady');
  if (isForgotten(application)) return;
  await rewrite(client, application, (newest) => {
    if (sourceKindOf(newest) !== 'inline') return undefined;
    const { source: _source, lastRefresh: _refresh, ...status } = storedStatus(newest);
    const conditions = (status.conditions ?? []).filter(({ type }) => type !== 'SourceReady');
    return { ...status, conditions };
  });
}

/** From where something was taken is remembered before it goes out anywhere. */
function mirroredSites({ spec, status }: Application, { source }: LookFinding): Partial<ApplicationStatus> {
  const { mirroredSites = [] } = status ?? {};
  const site = spec.source.mirror?.site;
  if (source === undefined || site === undefined || mirroredSites.includes(site)) return {};
  return { mirroredSites: [...mirroredSites, site] };
}

async function rewrite(
  client: ObjectClient,
  { metadata }: Application,
  change: (newest: Application) => ApplicationStatus | undefined,
): Promise<boolean> {
  for (let write = 1; ; write++) {
    const newest = await client.find<Application>(applications, metadata);
    if (newest?.metadata.uid !== metadata.uid || newest === undefined) return false;
    const status = change(newest);
    if (status === undefined) return false;
    if (isDeepStrictEqual(storedStatus(newest), status)) return true;
    try {
      await client.updateStatus(applications, { ...newest, status });
      return true;
    } catch (error) {
      if (!isConflict(error) || write === maxWrites) throw error;
    }
  }
}

function conditionOf(
  application: Application,
  { error, source }: LookFinding,
): Pick<Condition, 'type' | 'status' | 'reason' | 'message'> {
  const type = 'SourceReady';
  if (error) {
    const stays = application.status?.release === undefined ? '' : ' What went out last stays.';
    return { type, status: 'False', reason: error.fault, message: `${shortened(error.message)}${stays}` };
  }
  const message = source
    ? `Revision ${source.revision} gave ${counted(source.manifests, 'manifest')}.`
    : 'It has been looked at.';
  return { type, status: 'True', reason: 'SourceRead', message };
}

function shortened(message: string): string {
  return message.length > maxMessage ? `${message.slice(0, maxMessage)}…` : message;
}
