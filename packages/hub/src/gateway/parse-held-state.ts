import {
  activations,
  type Blackout,
  type DesiredItem,
  type DesiredState,
  type ItemTerms,
  linkAccesses,
  type NodeGroup,
  removalModes,
  type SealedName,
  type SitePolicy,
  type SyncRequest,
  type TimeWindow,
  type Tombstone,
} from '@selvedge/api';
import type { BodyReader } from './body-reader.ts';
import { parseMirrorOrders } from './parse-mirrors.ts';
import { parseRackOrder } from './parse-rack-order.ts';
import { digestRule, itemIdRule, releaseRule, uidRule } from './parse-report.ts';

type Fields = Readonly<Record<string, unknown>>;
type HeldState = NonNullable<SyncRequest['held']>;

const maxItems = 10_000;
const nameRule = { max: 253 };
const reasonRule = { max: 200 };

/**
 * The state that a site follows, by its own account. Only fields of the protocol are read: a state with more in it no longer
 * fits its signed digest, and is not taken.
 */
export function parseHeldState(reader: BodyReader, fields: Fields, path: string): HeldState {
  const state = reader.object(fields['state'], `${path}.state`);
  return {
    signed: reader.string(fields['signed'], `${path}.signed`, { max: 8_192 }),
    state: parseState(reader, state, `${path}.state`),
  };
}

function parseState(reader: BodyReader, fields: Fields, path: string): DesiredState {
  return {
    hubId: reader.string(fields['hubId'], `${path}.hubId`, nameRule),
    site: reader.string(fields['site'], `${path}.site`, nameRule),
    siteUid: reader.string(fields['siteUid'], `${path}.siteUid`, uidRule),
    epoch: reader.integer(fields['epoch'], `${path}.epoch`, { min: 1 }),
    variables: parseVariables(reader, fields['variables'], `${path}.variables`),
    policy: parsePolicy(reader, fields['policy'], `${path}.policy`),
    items: reader
      .list(fields['items'], `${path}.items`, maxItems)
      .map((item, i) => parseItem(reader, item, `${path}.items[${i}]`)),
    tombstones: reader
      .list(fields['tombstones'], `${path}.tombstones`, maxItems)
      .map((tombstone, i) => parseTombstone(reader, tombstone, `${path}.tombstones[${i}]`)),
  };
}

function parseVariables(reader: BodyReader, value: unknown, path: string): DesiredState['variables'] {
  const entries = Object.entries(reader.object(value, path)).map(([name, variable]) => {
    const isValue = ['string', 'number', 'boolean'].includes(typeof variable);
    if (!isValue)
      reader.fault(`${path}.${name}`, 'FieldValueInvalid', 'must be a text, a number or a boolean');
    return [name, variable as string | number | boolean] as const;
  });
  return Object.fromEntries(entries);
}

function parsePolicy(reader: BodyReader, value: unknown, path: string): SitePolicy {
  const fields = reader.object(value, path);
  const hold = reader.optionalObject(fields['hold'], `${path}.hold`);
  const windows = (field: 'downloadWindows' | 'activateWindows') =>
    fields[field] === undefined ? {} : { [field]: parseWindows(reader, fields[field], `${path}.${field}`) };
  return {
    timeZone: reader.string(fields['timeZone'], `${path}.timeZone`, { max: 100 }),
    ...windows('downloadWindows'),
    ...windows('activateWindows'),
    ...(fields['blackouts'] === undefined
      ? {}
      : { blackouts: parseBlackouts(reader, fields['blackouts'], `${path}.blackouts`) }),
    ...(hold === undefined
      ? {}
      : { hold: { reason: reader.string(hold['reason'], `${path}.hold.reason`, reasonRule) } }),
    ...(fields['nodeGroups'] === undefined
      ? {}
      : { nodeGroups: parseNodeGroups(reader, fields['nodeGroups'], `${path}.nodeGroups`) }),
    ...(fields['labels'] === undefined
      ? {}
      : { labels: parseLabels(reader, fields['labels'], `${path}.labels`) }),
    ...parseMirrorOrders(reader, fields['mirrors'], `${path}.mirrors`),
    ...parseDepot(reader, fields['depot'], `${path}.depot`),
    ...parseRackOrder(reader, fields['rack'], `${path}.rack`),
    ...(fields['link'] === undefined
      ? {}
      : { link: reader.oneOf(fields['link'], `${path}.link`, linkAccesses) }),
    ...(fields['sealed'] === undefined
      ? {}
      : { sealed: parseSealed(reader, fields['sealed'], `${path}.sealed`) }),
  };
}

function parseDepot(reader: BodyReader, value: unknown, path: string): Pick<SitePolicy, 'depot'> {
  const fields = reader.optionalObject(value, path);
  if (fields === undefined) return {};
  const bytes = (field: 'bytesPerSecond' | 'maxBytes') =>
    fields[field] === undefined
      ? {}
      : { [field]: reader.integer(fields[field], `${path}.${field}`, { min: 1 }) };
  const { hubRegistries } = fields;
  return {
    depot: {
      ...bytes('bytesPerSecond'),
      ...bytes('maxBytes'),
      ...(hubRegistries === undefined
        ? {}
        : {
            hubRegistries: reader
              .list(hubRegistries, `${path}.hubRegistries`, 20)
              .map((host, i) => reader.string(host, `${path}.hubRegistries[${i}]`, { max: 300 })),
          }),
    },
  };
}

function parseSealed(reader: BodyReader, value: unknown, path: string): SealedName[] {
  return reader.list(value, path, 2000).map((name, i) => {
    const at = `${path}[${i}]`;
    const fields = reader.object(name, at);
    return {
      id: reader.string(fields['id'], `${at}.id`, { max: 600 }),
      version: reader.string(fields['version'], `${at}.version`, { max: 100 }),
    };
  });
}

function parseLabels(reader: BodyReader, value: unknown, path: string): Record<string, string> {
  return Object.fromEntries(
    Object.entries(reader.object(value, path)).map(([key, label]) => [
      key,
      reader.string(label, `${path}[${key.slice(0, 317)}]`, { max: 63 }),
    ]),
  );
}

type Toleration = NonNullable<NodeGroup['tolerations']>[number];

function parseNodeGroups(reader: BodyReader, value: unknown, path: string): NodeGroup[] {
  return reader.list(value, path, 50).map((group, i) => {
    const at = `${path}[${i}]`;
    const fields = reader.object(group, at);
    const selector = reader.optionalObject(fields['nodeSelector'], `${at}.nodeSelector`);
    const { tolerations } = fields;
    return {
      name: reader.string(fields['name'], `${at}.name`, { max: 40 }),
      ...(selector === undefined
        ? {}
        : { nodeSelector: parseLabels(reader, selector, `${at}.nodeSelector`) }),
      ...(tolerations === undefined
        ? {}
        : {
            tolerations: reader
              .list(tolerations, `${at}.tolerations`, 20)
              .map((toleration, n) => parseToleration(reader, toleration, `${at}.tolerations[${n}]`)),
          }),
    };
  });
}

function parseToleration(reader: BodyReader, value: unknown, path: string): Toleration {
  const fields = reader.object(value, path);
  const { operator, effect, tolerationSeconds } = fields;
  const text = (field: 'key' | 'value') =>
    fields[field] === undefined
      ? {}
      : { [field]: reader.string(fields[field], `${path}.${field}`, { max: 317 }) };
  return {
    ...text('key'),
    ...(operator === undefined
      ? {}
      : { operator: reader.oneOf(operator, `${path}.operator`, ['Exists', 'Equal'] as const) }),
    ...text('value'),
    ...(effect === undefined ? {} : { effect: reader.oneOf(effect, `${path}.effect`, taintEffects) }),
    ...(tolerationSeconds === undefined
      ? {}
      : {
          tolerationSeconds: reader.integer(tolerationSeconds, `${path}.tolerationSeconds`, {
            min: Number.MIN_SAFE_INTEGER,
          }),
        }),
  };
}

const taintEffects = ['NoSchedule', 'PreferNoSchedule', 'NoExecute'] as const;

function parseWindows(reader: BodyReader, value: unknown, path: string): TimeWindow[] {
  return reader.list(value, path, 100).map((window, i) => {
    const fields = reader.object(window, `${path}[${i}]`);
    return {
      schedule: reader.string(fields['schedule'], `${path}[${i}].schedule`, { max: 100 }),
      durationSeconds: reader.integer(fields['durationSeconds'], `${path}[${i}].durationSeconds`, { min: 0 }),
    };
  });
}

function parseBlackouts(reader: BodyReader, value: unknown, path: string): Blackout[] {
  return reader.list(value, path, 100).map((blackout, i) => {
    const fields = reader.object(blackout, `${path}[${i}]`);
    const reason = reader.optionalString(fields['reason'], `${path}[${i}].reason`, reasonRule);
    return {
      from: reader.string(fields['from'], `${path}[${i}].from`, { max: 10 }),
      to: reader.string(fields['to'], `${path}[${i}].to`, { max: 10 }),
      ...(reason === undefined ? {} : { reason }),
    };
  });
}

function parseItem(reader: BodyReader, value: unknown, path: string): DesiredItem {
  const fields = reader.object(value, path);
  return {
    ...parseNamed(reader, fields, path),
    release: reader.string(fields['release'], `${path}.release`, releaseRule),
    digest: reader.string(fields['digest'], `${path}.digest`, digestRule),
    deadlineSeconds: reader.integer(fields['deadlineSeconds'], `${path}.deadlineSeconds`, { min: 0 }),
    terms: parseTerms(reader, fields['terms'], `${path}.terms`),
  };
}

function parseTerms(reader: BodyReader, value: unknown, path: string): ItemTerms {
  const fields = reader.object(value, path);
  const fallback = reader.optionalObject(fields['fallback'], `${path}.fallback`);
  const { activateAt } = fields;
  return {
    activate: reader.oneOf(fields['activate'], `${path}.activate`, activations),
    ...(activateAt === undefined ? {} : { activateAt: reader.time(activateAt, `${path}.activateAt`) }),
    attempt: reader.integer(fields['attempt'], `${path}.attempt`, { min: 0 }),
    prepareSeconds: reader.integer(fields['prepareSeconds'], `${path}.prepareSeconds`, { min: 0 }),
    ...(fallback === undefined
      ? {}
      : {
          fallback: {
            release: reader.string(fallback['release'], `${path}.fallback.release`, releaseRule),
            digest: reader.string(fallback['digest'], `${path}.fallback.digest`, digestRule),
          },
        }),
  };
}

function parseTombstone(reader: BodyReader, value: unknown, path: string): Tombstone {
  const fields = reader.object(value, path);
  return {
    ...parseNamed(reader, fields, path),
    mode: reader.oneOf(fields['mode'], `${path}.mode`, removalModes),
  };
}

function parseNamed(
  reader: BodyReader,
  fields: Fields,
  path: string,
): Pick<DesiredItem, 'id' | 'uid' | 'epoch'> {
  return {
    id: reader.string(fields['id'], `${path}.id`, itemIdRule),
    uid: reader.string(fields['uid'], `${path}.uid`, uidRule),
    epoch: reader.integer(fields['epoch'], `${path}.epoch`, { min: 1 }),
  };
}
