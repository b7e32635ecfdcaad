import {
  type LocalAct,
  type LocalHold,
  localActKinds,
  type SiteReport,
  type WindowState,
} from '@selvedge/api';
import type { BodyReader } from './body-reader.ts';
import { itemIdRule } from './parse-report.ts';

const maxHolds = 200;
const maxActs = 50;
const maxRefusedRemovals = 100;
const maxHubInstances = 10;
const reasonRule = { max: 1_000 };
const personRule = { max: 200 };
const messageRule = { max: 8_192 };

type Fields = Readonly<Record<string, unknown>>;

/** What a site says of itself. */
export function parseSiteReport(reader: BodyReader, fields: Fields, path: string): SiteReport {
  const windows = reader.object(fields['windows'], `${path}.windows`);
  const { hubInstances, refusedRemovals } = fields;
  return {
    holds: reader
      .list(fields['holds'], `${path}.holds`, maxHolds)
      .map((hold, i) => parseHold(reader, hold, `${path}.holds[${i}]`)),
    windows: {
      download: parseWindow(reader, windows['download'], `${path}.windows.download`),
      activate: parseWindow(reader, windows['activate'], `${path}.windows.activate`),
    },
    ...(hubInstances === undefined
      ? {}
      : {
          hubInstances: reader
            .list(hubInstances, `${path}.hubInstances`, maxHubInstances)
            .map((hub, i) => parseHubInstance(reader, hub, `${path}.hubInstances[${i}]`)),
        }),
    ...(refusedRemovals === undefined
      ? {}
      : {
          refusedRemovals: reader
            .list(refusedRemovals, `${path}.refusedRemovals`, maxRefusedRemovals)
            .map((refused, i) => parseRefusedRemoval(reader, refused, `${path}.refusedRemovals[${i}]`)),
        }),
  };
}

/** What was done at the site, oldest first: each number once, so that the last one says how far the hub knows. */
export function parseActs(reader: BodyReader, value: unknown, path: string): LocalAct[] {
  let last = 0;
  return reader.list(value, path, maxActs).map((act, i) => {
    const parsed = parseAct(reader, act, `${path}[${i}]`);
    if (parsed.seq <= last) {
      reader.fault(`${path}[${i}].seq`, 'FieldValueInvalid', 'must be greater than that of the act before');
    }
    last = parsed.seq;
    return parsed;
  });
}

function parseAct(reader: BodyReader, value: unknown, path: string): LocalAct {
  const fields = reader.object(value, path);
  const item = reader.optionalString(fields['item'], `${path}.item`, itemIdRule);
  const by = reader.optionalText(fields['by'], `${path}.by`, personRule);
  const reason = reader.optionalText(fields['reason'], `${path}.reason`, reasonRule);
  return {
    seq: reader.integer(fields['seq'], `${path}.seq`, { min: 1 }),
    time: reader.time(fields['time'], `${path}.time`),
    kind: reader.oneOf(fields['kind'], `${path}.kind`, localActKinds),
    ...(item === undefined ? {} : { item }),
    ...(by === undefined ? {} : { by }),
    ...(reason === undefined ? {} : { reason }),
    message: reader.text(fields['message'], `${path}.message`, messageRule),
  };
}

function parseHold(reader: BodyReader, value: unknown, path: string): LocalHold {
  const fields = reader.object(value, path);
  const item = reader.optionalString(fields['item'], `${path}.item`, itemIdRule);
  return {
    ...(item === undefined ? {} : { item }),
    reason: reader.text(fields['reason'], `${path}.reason`, reasonRule),
    by: reader.text(fields['by'], `${path}.by`, personRule),
    sinceTime: reader.time(fields['sinceTime'], `${path}.sinceTime`),
  };
}

function parseWindow(reader: BodyReader, value: unknown, path: string): WindowState {
  const fields = reader.object(value, path);
  const { changesAt } = fields;
  return {
    isOpen: reader.boolean(fields['isOpen'], `${path}.isOpen`),
    ...(changesAt === undefined ? {} : { changesAt: reader.time(changesAt, `${path}.changesAt`) }),
  };
}

function parseHubInstance(
  reader: BodyReader,
  value: unknown,
  path: string,
): { instance: string; lastSeenTime: string } {
  const fields = reader.object(value, path);
  return {
    instance: reader.text(fields['instance'], `${path}.instance`, { max: 100 }),
    lastSeenTime: reader.time(fields['lastSeenTime'], `${path}.lastSeenTime`),
  };
}

function parseRefusedRemoval(
  reader: BodyReader,
  value: unknown,
  path: string,
): NonNullable<SiteReport['refusedRemovals']>[number] {
  const fields = reader.object(value, path);
  return {
    id: reader.string(fields['id'], `${path}.id`, itemIdRule),
    reason: reader.text(fields['reason'], `${path}.reason`, { max: 200 }),
    message: reader.text(fields['message'], `${path}.message`, messageRule),
  };
}
