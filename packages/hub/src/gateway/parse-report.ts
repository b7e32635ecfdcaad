import { deliveryStates, type ItemReport, waitingReasons } from '@selvedge/api';
import type { BodyReader } from './body-reader.ts';

export const digestRule = {
  max: 71,
  pattern: /^(sha256:[0-9a-f]{64})?$/,
  hint: 'must be sha256:<64 hex digits>, or empty',
};
export const itemIdRule = {
  max: 600,
  pattern: /^[A-Za-z]+(\/[^/\s\p{Cc}]+)+$/u,
  hint: 'must be Kind/namespace/name',
};
export const uidRule = { max: 100, pattern: /^[^\s\p{Cc}]+$/u, hint: 'must be a uid' };
export const releaseRule = { max: 253, pattern: /^[^\p{Cc}]*$/u, hint: 'must be the name of a Release' };

const count = { min: 0, max: 1_000_000 };

export function parseReport(reader: BodyReader, value: unknown, path: string): ItemReport {
  const fields = reader.object(value, path);
  const runningDigest = reader.optionalString(fields['runningDigest'], `${path}.runningDigest`, digestRule);
  const reason = reader.optionalText(fields['reason'], `${path}.reason`, { max: 200 });
  const message = reader.optionalText(fields['message'], `${path}.message`, { max: 8_192 });
  const pods = reader.optionalObject(fields['pods'], `${path}.pods`);
  return {
    id: reader.string(fields['id'], `${path}.id`, itemIdRule),
    uid: reader.string(fields['uid'], `${path}.uid`, uidRule),
    epoch: reader.integer(fields['epoch'], `${path}.epoch`, { min: 0 }),
    release: reader.string(fields['release'], `${path}.release`, releaseRule),
    digest: reader.string(fields['digest'], `${path}.digest`, digestRule),
    state: reader.oneOf(fields['state'], `${path}.state`, deliveryStates),
    ...(runningDigest === undefined ? {} : { runningDigest }),
    ...(reason === undefined ? {} : { reason }),
    ...(message === undefined ? {} : { message }),
    ...(fields['logs'] === undefined ? {} : { logs: parseLogs(reader, fields['logs'], `${path}.logs`) }),
    ...(pods === undefined
      ? {}
      : {
          pods: {
            wanted: reader.integer(pods['wanted'], `${path}.pods.wanted`, count),
            ready: reader.integer(pods['ready'], `${path}.pods.ready`, count),
          },
        }),
    ...parseProgress(reader, fields, path),
    sinceTime: reader.time(fields['sinceTime'], `${path}.sinceTime`),
    observedTime: reader.time(fields['observedTime'], `${path}.observedTime`),
    seq: reader.integer(fields['seq'], `${path}.seq`, { min: 1 }),
  };
}

/** How far the site is, and what it waits for. */
function parseProgress(
  reader: BodyReader,
  fields: Readonly<Record<string, unknown>>,
  path: string,
): Pick<ItemReport, 'waiting' | 'progress' | 'activatedTime' | 'wentBack' | 'drift' | 'images'> {
  const waiting = reader.optionalObject(fields['waiting'], `${path}.waiting`);
  const progress = reader.optionalObject(fields['progress'], `${path}.progress`);
  const { activatedTime, wentBack, drift, images } = fields;
  return {
    ...(waiting === undefined ? {} : { waiting: parseWaiting(reader, waiting, `${path}.waiting`) }),
    ...(progress === undefined
      ? {}
      : {
          progress: {
            done: reader.integer(progress['done'], `${path}.progress.done`, count),
            total: reader.integer(progress['total'], `${path}.progress.total`, count),
            ...optionalBytes(reader, progress, { field: 'doneBytes', path: `${path}.progress` }),
            ...optionalBytes(reader, progress, { field: 'totalBytes', path: `${path}.progress` }),
            ...parseFetch(reader, progress, `${path}.progress`),
          },
        }),
    ...(activatedTime === undefined
      ? {}
      : { activatedTime: reader.time(activatedTime, `${path}.activatedTime`) }),
    ...(wentBack === undefined
      ? {}
      : {
          wentBack: reader.oneOf(wentBack, `${path}.wentBack`, ['Unhealthy', 'RolledBackBySite'] as const),
        }),
    ...(drift === undefined
      ? {}
      : {
          drift: reader
            .list(drift, `${path}.drift`, 20)
            .map((line, i) => reader.text(line, `${path}.drift[${i}]`, { max: 1_000 })),
        }),
    ...(images === undefined ? {} : { images: parseImages(reader, images, `${path}.images`) }),
  };
}

/** What is being fetched now. */
function parseFetch(
  reader: BodyReader,
  { image: value, doneAt }: Readonly<Record<string, unknown>>,
  path: string,
): Pick<NonNullable<ItemReport['progress']>, 'image' | 'doneAt'> {
  const image = reader.optionalText(value, `${path}.image`, { max: 1_000 });
  return {
    ...(image === undefined ? {} : { image }),
    ...(doneAt === undefined ? {} : { doneAt: reader.time(doneAt, `${path}.doneAt`) }),
  };
}

function parseWaiting(
  reader: BodyReader,
  fields: Readonly<Record<string, unknown>>,
  path: string,
): NonNullable<ItemReport['waiting']> {
  const message = reader.optionalText(fields['message'], `${path}.message`, { max: 1_000 });
  return {
    reason: reader.oneOf(fields['reason'], `${path}.reason`, waitingReasons),
    ...(fields['until'] === undefined ? {} : { until: reader.time(fields['until'], `${path}.until`) }),
    ...(message === undefined ? {} : { message }),
  };
}

function parseImages(reader: BodyReader, value: unknown, path: string): NonNullable<ItemReport['images']> {
  return reader.list(value, path, 50).map((image, i) => {
    const fields = reader.object(image, `${path}[${i}]`);
    return {
      name: reader.text(fields['name'], `${path}[${i}].name`, { max: 500 }),
      sizeBytes: reader.integer(fields['sizeBytes'], `${path}[${i}].sizeBytes`, { min: 0 }),
    };
  });
}

function optionalBytes<Field extends string>(
  reader: BodyReader,
  fields: Readonly<Record<string, unknown>>,
  { field, path }: { field: Field; path: string },
): { [F in Field]?: number } {
  if (fields[field] === undefined) return {};
  const bytes = reader.integer(fields[field], `${path}.${field}`, { min: 0 });
  return { [field]: bytes } as { [F in Field]?: number };
}

/** A line of 500 characters may be up to twice as many UTF-16 units. */
function parseLogs(reader: BodyReader, value: unknown, path: string): string[] {
  return reader.list(value, path, 20).map((line, i) => reader.lines(line, `${path}[${i}]`, { max: 1_000 }));
}
