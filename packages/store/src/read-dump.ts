import { defaultItemTerms, defaultSitePolicy, StatusError } from '@selvedge/api';
import { sha256Digest } from '@selvedge/api/node';
import type { StoreRecord } from './store-record.ts';

export type ContentRecord = Exclude<StoreRecord, { type: 'head' | 'end' }>;

/**
 * Hands the contents of a dump to `put` and returns its revision. Throws `BadRequest` when it does not begin with a head
 * of a known form, or does not end with the count of what came before: then nothing of it may be kept.
 */
export async function readDump(
  records: AsyncIterable<StoreRecord>,
  put: (record: ContentRecord) => void | Promise<void>,
): Promise<number> {
  let revision: number | undefined;
  let count = 0;
  let isWhole = false;
  for await (const record of records) {
    if (isWhole) throw unsound('it goes on behind its end');
    if (revision === undefined) revision = revisionOfHead(record);
    else if (record.type === 'head') throw unsound('it has two heads');
    else if (record.type === 'end') {
      if (record.records !== count) throw unsound(`it has ${count} records, its end says ${record.records}`);
      isWhole = true;
    } else {
      requireSound(record, revision);
      await put(inPresentForm(record));
    }
    count += 1;
  }
  if (revision === undefined || !isWhole) throw unsound(`it is cut off after ${count} records`);
  return revision;
}

function revisionOfHead(record: StoreRecord): number {
  if (record.type !== 'head') throw unsound(`it begins with ${record.type}, not with a head`);
  if (record.formatVersion !== 1) {
    throw unsound(`its form is ${String(record.formatVersion)}, this program knows 1: use a newer one`);
  }
  if (!Number.isSafeInteger(record.revision) || record.revision < 1)
    throw unsound('its revision is no number');
  return record.revision;
}

function requireSound(record: ContentRecord, revision: number): void {
  if (record.type === 'blob' && sha256Digest(record.bytes) !== record.digest) {
    throw unsound(`the content ${record.digest} has other bytes`);
  }
  const own = record.type === 'object' ? record.object : record.type === 'delivery' ? record.row : undefined;
  if (own !== undefined && !(own.revision <= revision)) {
    throw unsound(`a row has revision ${own.revision}, the dump is of ${revision}`);
  }
}

/** Dumps of before there were terms and policies lack them; under one epoch no site is told two things. */
function inPresentForm(record: ContentRecord): ContentRecord {
  if (record.type === 'site' && isWithout(record, 'policy')) {
    return { ...record, epoch: record.epoch + 1, policy: defaultSitePolicy };
  }
  if (record.type === 'delivery' && isWithout(record.row, 'terms')) {
    return { ...record, row: { ...record.row, terms: defaultItemTerms, removal: 'Delete' } };
  }
  return record;
}

function isWithout<Value extends object>(value: Value, key: keyof Value): boolean {
  return value[key] === undefined;
}

const unsound = (why: string) => new StatusError('BadRequest', `this dump cannot be restored: ${why}`);
