import type { MirrorOrder, MirrorReport, SitePolicy } from '@selvedge/api';
import type { BodyReader } from './body-reader.ts';
import { digestRule, uidRule } from './parse-report.ts';

type Fields = Readonly<Record<string, unknown>>;
type Expressions = NonNullable<MirrorOrder['selector']['matchExpressions']>;

/** Of one request. */
const maxReports = 1_000;
const maxOrders = 1_000;
const maxListed = 100;
const operators = ['In', 'NotIn', 'Exists', 'DoesNotExist'] as const;
const nameRule = { max: 253 };

/** `SyncRequest.mirrors`. */
export function parseMirrorReports(reader: BodyReader, value: unknown, path: string): MirrorReport[] {
  return reader.list(value, path, maxReports).map((report, i) => {
    const at = `${path}[${i}]`;
    const fields = reader.object(report, at);
    const message = reader.optionalText(fields['message'], `${at}.message`, { max: 2_000 });
    return {
      uid: reader.string(fields['uid'], `${at}.uid`, uidRule),
      order: reader.string(fields['order'], `${at}.order`, digestRule),
      digest: reader.string(fields['digest'], `${at}.digest`, digestRule),
      objects: reader.integer(fields['objects'], `${at}.objects`, { min: 0, max: 1_000_000 }),
      ...(message === undefined ? {} : { message }),
      observedTime: reader.time(fields['observedTime'], `${at}.observedTime`),
    };
  });
}

/** `SitePolicy.mirrors` of a state that a site follows. */
export function parseMirrorOrders(
  reader: BodyReader,
  value: unknown,
  path: string,
): Pick<SitePolicy, 'mirrors'> {
  if (value === undefined) return {};
  const mirrors = reader.list(value, path, maxOrders).map((order, i): MirrorOrder => {
    const at = `${path}[${i}]`;
    const fields = reader.object(order, at);
    const names = (field: 'namespaces' | 'secrets') =>
      reader
        .list(fields[field], `${at}.${field}`, maxListed)
        .map((name, n) => reader.string(name, `${at}.${field}[${n}]`, nameRule));
    return {
      uid: reader.string(fields['uid'], `${at}.uid`, uidRule),
      namespaces: names('namespaces'),
      selector: parseSelector(reader, reader.object(fields['selector'], `${at}.selector`), `${at}.selector`),
      kinds: reader.list(fields['kinds'], `${at}.kinds`, maxListed).map((kind, n) => {
        const of = reader.object(kind, `${at}.kinds[${n}]`);
        return {
          apiVersion: reader.string(of['apiVersion'], `${at}.kinds[${n}].apiVersion`, nameRule),
          kind: reader.string(of['kind'], `${at}.kinds[${n}].kind`, { max: 63 }),
        };
      }),
      secrets: names('secrets'),
      settleSeconds: reader.integer(fields['settleSeconds'], `${at}.settleSeconds`, { min: 0, max: 86_400 }),
    };
  });
  return { mirrors };
}

function parseSelector(reader: BodyReader, fields: Fields, path: string): MirrorOrder['selector'] {
  const labels = reader.optionalObject(fields['matchLabels'], `${path}.matchLabels`);
  const { matchExpressions } = fields;
  return {
    ...(labels === undefined
      ? {}
      : {
          matchLabels: Object.fromEntries(
            Object.entries(labels).map(([key, label]) => [
              key,
              reader.string(label, `${path}.matchLabels[${key.slice(0, 317)}]`, { max: 63 }),
            ]),
          ),
        }),
    ...(matchExpressions === undefined
      ? {}
      : { matchExpressions: parseExpressions(reader, matchExpressions, `${path}.matchExpressions`) }),
  };
}

function parseExpressions(reader: BodyReader, value: unknown, path: string): Expressions {
  return reader.list(value, path, maxListed).map((expression, i) => {
    const at = `${path}[${i}]`;
    const fields = reader.object(expression, at);
    const { values } = fields;
    return {
      key: reader.string(fields['key'], `${at}.key`, { max: 317 }),
      operator: reader.oneOf(fields['operator'], `${at}.operator`, operators),
      ...(values === undefined
        ? {}
        : {
            values: reader
              .list(values, `${at}.values`, maxListed)
              .map((one, n) => reader.string(one, `${at}.values[${n}]`, { max: 63 })),
          }),
    };
  });
}
