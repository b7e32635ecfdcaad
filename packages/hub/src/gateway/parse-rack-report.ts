import type { RackReport } from '@selvedge/api';
import type { BodyReader } from './body-reader.ts';
import { macAddressPattern } from './parse-machines.ts';
import { digestRule } from './parse-report.ts';

type Fields = Readonly<Record<string, unknown>>;

const message = { max: 2_000 };
const nameRule = { max: 253 };
const macRule = {
  max: 17,
  pattern: macAddressPattern,
  hint: 'must be a MAC address, lower case with colons',
};

/** `SyncRequest.rack`. */
export function parseRackReport(reader: BodyReader, fields: Fields, path: string): RackReport {
  const text = reader.optionalText(fields['message'], `${path}.message`, message);
  return {
    observedTime: reader.time(fields['observedTime'], `${path}.observedTime`),
    ...(text === undefined ? {} : { message: text }),
    networks: reader
      .list(fields['networks'], `${path}.networks`, 32)
      .map((network, i) => parseNetwork(reader, network, `${path}.networks[${i}]`)),
    ...parseDiscoveryFull(reader, fields['discoveryFull'], `${path}.discoveryFull`),
    images: reader
      .list(fields['images'], `${path}.images`, 500)
      .map((image, i) => parseImage(reader, image, `${path}.images[${i}]`)),
  };
}

function parseDiscoveryFull(
  reader: BodyReader,
  value: unknown,
  path: string,
): Pick<RackReport, 'discoveryFull'> {
  if (value === undefined) return {};
  const fields = reader.object(value, path);
  const count = { min: 0, max: 1_000_000 };
  return {
    discoveryFull: {
      limit: reader.integer(fields['limit'], `${path}.limit`, count),
      turnedAway: reader.integer(fields['turnedAway'], `${path}.turnedAway`, count),
      lastSeenTime: reader.time(fields['lastSeenTime'], `${path}.lastSeenTime`),
    },
  };
}

function parseNetwork(reader: BodyReader, value: unknown, path: string): RackReport['networks'][number] {
  const fields = reader.object(value, path);
  const text = reader.optionalText(fields['message'], `${path}.message`, message);
  const { otherServers } = fields;
  return {
    name: reader.text(fields['name'], `${path}.name`, { max: 40 }),
    interface: reader.text(fields['interface'], `${path}.interface`, { max: 40 }),
    state: reader.oneOf(fields['state'], `${path}.state`, ['Serving', 'Failed', 'Off'] as const),
    ...(text === undefined ? {} : { message: text }),
    ...(otherServers === undefined
      ? {}
      : {
          otherServers: reader.list(otherServers, `${path}.otherServers`, 50).map((server, i) => {
            const at = `${path}.otherServers[${i}]`;
            const of = reader.object(server, at);
            const macAddress = reader.optionalString(of['macAddress'], `${at}.macAddress`, macRule);
            return {
              address: reader.text(of['address'], `${at}.address`, { max: 45 }),
              ...(macAddress === undefined ? {} : { macAddress }),
              lastSeenTime: reader.time(of['lastSeenTime'], `${at}.lastSeenTime`),
            };
          }),
        }),
  };
}

function parseImage(reader: BodyReader, value: unknown, path: string): RackReport['images'][number] {
  const fields = reader.object(value, path);
  const text = reader.optionalText(fields['message'], `${path}.message`, message);
  const bytes = (field: 'doneBytes' | 'totalBytes') =>
    fields[field] === undefined
      ? {}
      : { [field]: reader.integer(fields[field], `${path}.${field}`, { min: 0 }) };
  return {
    name: reader.text(fields['name'], `${path}.name`, nameRule),
    digest: reader.string(fields['digest'], `${path}.digest`, digestRule),
    state: reader.oneOf(fields['state'], `${path}.state`, ['Ready', 'Fetching', 'Failed'] as const),
    ...bytes('doneBytes'),
    ...bytes('totalBytes'),
    ...(text === undefined ? {} : { message: text }),
  };
}
