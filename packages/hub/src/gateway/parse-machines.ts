import {
  bootModes,
  machineErrorReasons,
  machinePhases,
  type MachineMoment,
  type MachineReport,
  machineSteps,
  operationalStatuses,
  powerStates,
  type ScriptResult,
} from '@selvedge/api';
import { BodyReader } from './body-reader.ts';
import { parseMachineInventory } from './parse-machine-inventory.ts';
import { digestRule } from './parse-report.ts';

type Fields = Readonly<Record<string, unknown>>;
type Limits = { readonly max: number };

/** Of one request. */
const maxReports = 50;
const maxMoments = 50;
const maxResults = 100;
const maxValues = 50;
const message: Limits = { max: 4_000 };
const short: Limits = { max: 200 };
const scriptStatuses = ['Passed', 'Failed', 'Degraded', 'Skipped', 'TimedOut'] as const;

export const macAddressPattern = /^[0-9a-f]{2}(:[0-9a-f]{2}){5}$/;
const uuidPattern = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;
const keyRule = {
  max: 100,
  pattern: /^(box:[0-9a-f]{2}(:[0-9a-f]{2}){5}|[A-Za-z0-9-]+)$/,
  hint: 'must be a uid, or box:<MAC address>',
};
const macRule = {
  max: 17,
  pattern: macAddressPattern,
  hint: 'must be a MAC address, lower case with colons',
};
const reasonRule = { max: 60, pattern: /^[A-Z][A-Za-z0-9]*$/, hint: 'must be a word in CamelCase' };

export interface ParsedMachineReports {
  readonly reports: readonly MachineReport[];
  /** Those that cannot be taken, or not with their inventory, nor would be when they came again. */
  readonly faults: readonly { readonly key: string; readonly seq: number; readonly message: string }[];
}

/**
 * `SyncRequest.machines`. Each is judged by itself: one box with firmware that nobody thought of must not silence its site. Faults of the list itself, and of numbers, go to the
 * reader.
 */
export function parseMachineReports(reader: BodyReader, value: unknown, path: string): ParsedMachineReports {
  const reports: MachineReport[] = [];
  const faults: { key: string; seq: number; message: string }[] = [];
  for (const [i, entry] of reader.list(value, path, maxReports).entries()) {
    const fields = reader.object(entry, `${path}[${i}]`);
    const seq = reader.integer(fields['seq'], `${path}[${i}].seq`, { min: 1 });
    const at = `${path}[${i}]`;
    const { inventory: _inventory, inventoryDigest: _digest, ...bare } = fields;
    const judged = judge({ ...fields, seq }, at);
    if ('report' in judged) {
      reports.push(judged.report);
      continue;
    }
    faults.push({ key: judged.key, seq, message: judged.message });
    // What the box is made of may be beyond everything that is known: where it is in its life is to be seen all the same.
    const rest = fields['inventory'] === undefined ? judged : judge({ ...bare, seq }, at);
    if ('report' in rest) reports.push(rest.report);
  }
  return { reports, faults };
}

function judge(
  fields: Fields,
  path: string,
): { readonly report: MachineReport } | { readonly key: string; readonly message: string } {
  const reader = new BodyReader('report of a machine');
  const report = parseMachineReport(reader, fields, path);
  try {
    reader.finish();
    return { report };
  } catch (error) {
    return { key: report.key.slice(0, keyRule.max), message: (error as Error).message };
  }
}

function parseMachineReport(reader: BodyReader, fields: Fields, path: string): MachineReport {
  const at = (field: string) => `${path}.${field}`;
  const { generation, disks, inventory, results, timeline, inspectedTime } = fields;
  const inventoryDigest = reader.optionalString(fields['inventoryDigest'], at('inventoryDigest'), digestRule);
  return {
    key: reader.string(fields['key'], at('key'), keyRule),
    seq: reader.integer(fields['seq'], at('seq'), { min: 1 }),
    ...(generation === undefined
      ? {}
      : { generation: reader.integer(generation, at('generation'), { min: 0 }) }),
    phase: reader.oneOf(fields['phase'], at('phase'), machinePhases),
    phaseSince: reader.time(fields['phaseSince'], at('phaseSince')),
    status: reader.oneOf(fields['status'], at('status'), operationalStatuses),
    ...parseDoing(reader, fields, path),
    power: parsePower(reader, reader.object(fields['power'], at('power')), at('power')),
    seen: parseSeen(reader, reader.object(fields['seen'], at('seen')), at('seen')),
    ...parseProvisioned(reader, fields['provisioned'], at('provisioned')),
    ...(disks === undefined ? {} : { disks: reader.oneOf(disks, at('disks'), ['Blank', 'Data'] as const) }),
    ...(inventoryDigest === undefined ? {} : { inventoryDigest }),
    ...(inventory === undefined
      ? {}
      : { inventory: parseMachineInventory(reader, inventory, at('inventory')) }),
    ...(inspectedTime === undefined
      ? {}
      : { inspectedTime: reader.time(inspectedTime, at('inspectedTime')) }),
    ...(results === undefined
      ? {}
      : {
          results: reader
            .list(results, at('results'), maxResults)
            .map((result, i) => parseResult(reader, result, `${at('results')}[${i}]`)),
        }),
    ...parseAnswered(reader, fields['answered'], at('answered')),
    ...(timeline === undefined
      ? {}
      : {
          timeline: reader
            .list(timeline, at('timeline'), maxMoments)
            .map((moment, i) => parseMoment(reader, moment, `${at('timeline')}[${i}]`)),
        }),
    observedTime: reader.time(fields['observedTime'], at('observedTime')),
  };
}

/** What went wrong, what is waited for, and how far it is. */
function parseDoing(
  reader: BodyReader,
  fields: Fields,
  path: string,
): Pick<MachineReport, 'error' | 'waiting' | 'progress'> {
  const error = reader.optionalObject(fields['error'], `${path}.error`);
  const waiting = reader.optionalObject(fields['waiting'], `${path}.waiting`);
  const progress = reader.optionalObject(fields['progress'], `${path}.progress`);
  const amount = { min: 0 };
  return {
    ...(error === undefined
      ? {}
      : {
          error: {
            reason: reader.oneOf(error['reason'], `${path}.error.reason`, machineErrorReasons),
            message: reader.text(error['message'], `${path}.error.message`, message),
            since: reader.time(error['since'], `${path}.error.since`),
            count: reader.integer(error['count'], `${path}.error.count`, amount),
          },
        }),
    ...(waiting === undefined ? {} : { waiting: parseWaiting(reader, waiting, `${path}.waiting`) }),
    ...(progress === undefined
      ? {}
      : {
          progress: {
            step: reader.oneOf(progress['step'], `${path}.progress.step`, machineSteps),
            done: reader.integer(progress['done'], `${path}.progress.done`, amount),
            total: reader.integer(progress['total'], `${path}.progress.total`, amount),
            unit: reader.oneOf(progress['unit'], `${path}.progress.unit`, ['Bytes', 'Parts'] as const),
          },
        }),
  };
}

function parseWaiting(
  reader: BodyReader,
  fields: Fields,
  path: string,
): NonNullable<MachineReport['waiting']> {
  const { step, until } = fields;
  const lastSeen = reader.optionalObject(fields['lastSeen'], `${path}.lastSeen`);
  return {
    ...(step === undefined ? {} : { step: reader.oneOf(step, `${path}.step`, machineSteps) }),
    expected: reader.text(fields['expected'], `${path}.expected`, message),
    since: reader.time(fields['since'], `${path}.since`),
    ...(until === undefined ? {} : { until: reader.time(until, `${path}.until`) }),
    ...(lastSeen === undefined
      ? {}
      : {
          lastSeen: {
            what: reader.text(lastSeen['what'], `${path}.lastSeen.what`, message),
            time: reader.time(lastSeen['time'], `${path}.lastSeen.time`),
          },
        }),
    next: reader.text(fields['next'], `${path}.next`, message),
  };
}

function parsePower(reader: BodyReader, fields: Fields, path: string): MachineReport['power'] {
  const text = reader.optionalText(fields['message'], `${path}.message`, message);
  return {
    state: reader.oneOf(fields['state'], `${path}.state`, powerStates),
    observedTime: reader.time(fields['observedTime'], `${path}.observedTime`),
    ...(text === undefined ? {} : { message: text }),
  };
}

/** As firmware says it, so an odd text is left out rather than refused. */
function parseSeen(reader: BodyReader, fields: Fields, path: string): MachineReport['seen'] {
  const { uuid, serials, macAddresses, bootMode, lastBootTime } = fields;
  const text = (field: 'product' | 'manufacturer' | 'architecture' | 'address') => {
    const value = reader.optionalText(fields[field], `${path}.${field}`, short);
    return value === undefined || value === '' ? {} : { [field]: value };
  };
  return {
    ...(typeof uuid === 'string' && uuidPattern.test(uuid) ? { uuid } : {}),
    ...(serials === undefined
      ? {}
      : {
          serials: reader
            .list(serials, `${path}.serials`, 10)
            .map((serial, i) => reader.text(serial, `${path}.serials[${i}]`, { max: 100 }))
            .filter((serial) => serial !== ''),
        }),
    ...(macAddresses === undefined
      ? {}
      : {
          macAddresses: reader
            .list(macAddresses, `${path}.macAddresses`, 32)
            .map((address, i) => reader.string(address, `${path}.macAddresses[${i}]`, macRule)),
        }),
    ...text('product'),
    ...text('manufacturer'),
    ...(bootMode === undefined ? {} : { bootMode: reader.oneOf(bootMode, `${path}.bootMode`, bootModes) }),
    ...text('architecture'),
    ...text('address'),
    ...(lastBootTime === undefined
      ? {}
      : { lastBootTime: reader.time(lastBootTime, `${path}.lastBootTime`) }),
  };
}

function parseProvisioned(
  reader: BodyReader,
  value: unknown,
  path: string,
): Pick<MachineReport, 'provisioned'> {
  const fields = reader.optionalObject(value, path);
  if (fields === undefined) return {};
  const serial = reader.optionalText(fields['serial'], `${path}.serial`, short);
  const { confirmedTime } = fields;
  return {
    provisioned: {
      image: reader.string(fields['image'], `${path}.image`, { max: 253 }),
      digest: reader.string(fields['digest'], `${path}.digest`, digestRule),
      instanceId: reader.text(fields['instanceId'], `${path}.instanceId`, short),
      device: reader.text(fields['device'], `${path}.device`, short),
      ...(serial === undefined ? {} : { serial }),
      writtenTime: reader.time(fields['writtenTime'], `${path}.writtenTime`),
      ...(confirmedTime === undefined
        ? {}
        : { confirmedTime: reader.time(confirmedTime, `${path}.confirmedTime`) }),
    },
  };
}

function parseAnswered(reader: BodyReader, value: unknown, path: string): Pick<MachineReport, 'answered'> {
  const fields = reader.optionalObject(value, path);
  if (fields === undefined) return {};
  const time = (field: 'inspect' | 'reboot' | 'retry') =>
    fields[field] === undefined ? {} : { [field]: reader.time(fields[field], `${path}.${field}`) };
  return { answered: { ...time('inspect'), ...time('reboot'), ...time('retry') } };
}

function parseResult(reader: BodyReader, value: unknown, path: string): ScriptResult {
  const fields = reader.object(value, path);
  const { exitCode, durationSeconds, output, values } = fields;
  const isSeconds = typeof durationSeconds === 'number' && durationSeconds >= 0 && durationSeconds < 1e9;
  return {
    name: reader.text(fields['name'], `${path}.name`, { max: 253 }),
    status: reader.oneOf(fields['status'], `${path}.status`, scriptStatuses),
    ...(exitCode === undefined
      ? {}
      : { exitCode: reader.integer(exitCode, `${path}.exitCode`, { min: -1_000, max: 1_000 }) }),
    ...(isSeconds ? { durationSeconds } : {}),
    ...(output === undefined ? {} : { output: reader.lines(output, `${path}.output`, message) }),
    ...(values === undefined ? {} : { values: parseValues(reader, values, `${path}.values`) }),
    time: reader.time(fields['time'], `${path}.time`),
  };
}

function parseValues(reader: BodyReader, value: unknown, path: string): Record<string, string> {
  const entries = Object.entries(reader.object(value, path)).slice(0, maxValues);
  return Object.fromEntries(
    entries.map(([key, text]) => [
      reader.text(key, `${path}.(key)`, short),
      reader.text(text, `${path}[${key.slice(0, 100)}]`, { max: 1_000 }),
    ]),
  );
}

function parseMoment(reader: BodyReader, value: unknown, path: string): MachineMoment {
  const fields = reader.object(value, path);
  return {
    n: reader.integer(fields['n'], `${path}.n`, { min: 1 }),
    time: reader.time(fields['time'], `${path}.time`),
    type: reader.oneOf(fields['type'], `${path}.type`, ['Normal', 'Warning'] as const),
    reason: reader.string(fields['reason'], `${path}.reason`, reasonRule),
    message: reader.text(fields['message'], `${path}.message`, { max: 1_000 }),
  };
}
