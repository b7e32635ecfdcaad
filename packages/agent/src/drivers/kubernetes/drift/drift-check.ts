import { createHash } from 'node:crypto';
import { isDeepStrictEqual } from 'node:util';
import { type ApplyRules, isNotFound, type KubeObject, type ObjectMeta, StatusError } from '@selvedge/api';
import type { PlannedObject } from '../release/planned-object.ts';
import { findOwnFields } from './field-set.ts';
import { driftFields, lostFields } from './find-drift.ts';
import { isObject, pointerParts } from './json-pointer.ts';
import { ignoredPointers, leaveFields, leftFields, scaledPointers } from './left-fields.ts';

/** What a check asks of the cluster, each only when it is needed. */
export interface DriftSource {
  isAutoscaled(): Promise<boolean>;
  /** The whole object as it is now. */
  read(): Promise<KubeObject>;
  /** Server-side dry run of an apply with force. */
  dryRun(object: KubeObject): Promise<KubeObject>;
}

/** What was found for a state of the object: as long as that lasts nobody is asked again. */
export interface DriftFinding {
  readonly planned: PlannedObject;
  readonly mark: string;
  readonly fields: readonly string[];
}

/**
 * Planned fields (JSON pointers into the planned object) that are not as planned, beyond what is to be ignored and what autoscalers own.
 * While all our fields are still ours by `managedFields` nothing is asked; else a dry run of applying it again tells. Throws what the
 * cluster answered when it cannot be told now.
 */
export async function findDrift(
  subject: {
    planned: PlannedObject;
    rules: ApplyRules;
    metadata: ObjectMeta;
    known: DriftFinding | undefined;
  },
  source: DriftSource,
): Promise<DriftFinding | undefined> {
  const { planned, rules, metadata, known } = subject;
  if (rules.drift === 'Ignore') return undefined;
  const ignored = ignoredPointers(planned.ref, rules);
  const scaled = scaledPointers({ metadata }, planned);
  const isAutoscaled = scaled.length > 0 && (await source.isAutoscaled());
  const left = new Set([...ignored, ...(isAutoscaled ? scaled : [])]);
  const lost = lostFields(planned, { metadata }, left);
  if (lost.length === 0) return undefined;
  const mark = markOf(planned, metadata, left);
  if (known?.planned === planned && known.mark === mark) return known;
  const fields = await compare(source, { planned, left, lost, rules: { ...rules, isAutoscaled } });
  return { planned, mark, fields };
}

async function compare(
  source: DriftSource,
  {
    planned,
    left,
    lost,
    rules,
  }: {
    planned: PlannedObject;
    left: ReadonlySet<string>;
    lost: readonly string[];
    rules: ApplyRules & { isAutoscaled: boolean };
  },
): Promise<readonly string[]> {
  const live = await source.read();
  let applied: KubeObject;
  try {
    applied = await source.dryRun(leaveFields(planned.object, leftFields(live, planned, rules)));
  } catch (error) {
    if (isNotFound(error)) return [];
    if (mayPass(error)) throw error;
    // It cannot be applied as it is there now: an immutable field, a webhook that refuses. What plainly differs is drift all the same.
    return lost.filter((pointer) => pointer === '' || differsPlainly(planned.object, live, pointer));
  }
  const isSame = applied.metadata.resourceVersion === live.metadata.resourceVersion;
  return driftFields(planned, { live: isSame ? live : await source.read(), applied, left });
}

function mayPass(error: unknown): boolean {
  const lasting = [
    'Invalid',
    'BadRequest',
    'Forbidden',
    'Conflict',
    'MethodNotAllowed',
    'UnsupportedMediaType',
  ];
  return !(error instanceof StatusError) || !lasting.includes(error.reason);
}

function differsPlainly(planned: KubeObject, live: KubeObject, pointer: string): boolean {
  const read = (object: unknown): unknown =>
    pointerParts(pointer).reduce<unknown>((value, part) => {
      if (Array.isArray(value)) return value[Number(part)];
      return isObject(value) && Object.hasOwn(value, part) ? value[part] : undefined;
    }, object);
  return !isDeepStrictEqual(read(planned), read(live));
}

/** Changes when anything changes that a dry run could judge otherwise; not with status. */
function markOf(planned: PlannedObject, metadata: ObjectMeta, left: ReadonlySet<string>): string {
  const { generation, resourceVersion, labels, annotations, uid } = metadata;
  const own = findOwnFields({ metadata }, planned.object.apiVersion);
  // Kinds without a generation have no status either.
  const version = generation ?? resourceVersion;
  return createHash('sha256')
    .update(JSON.stringify([uid, version, labels, annotations, own, [...left]]))
    .digest('base64');
}
