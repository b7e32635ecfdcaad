import fc from 'fast-check';
import { hostileDocuments, hostileTexts, hostileValues } from './hostile-values.ts';

/** One request of the fuzzer, before it is put on the wire. */
export interface FuzzRequest {
  readonly method: string;
  /** With the query. */
  readonly path: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: Uint8Array | undefined;
}

export interface FuzzTarget {
  readonly kinds: readonly FuzzKind[];
}

export interface FuzzKind {
  /** Path of the collection, as `/api/v1/namespaces/default/configmaps`. */
  readonly path: string;
  /** A good object, to begin from. */
  readonly object: Readonly<Record<string, unknown>>;
}

const words = (list: string): string[] => list.split(' ');

// As fast-check's unit `binary`, which builds a table of all code points when it is made: that took every test that comes by here a second.
const codePoint = fc
  .oneof(fc.integer({ min: 0, max: 0xd7ff }), fc.integer({ min: 0xe000, max: 0x10ffff }))
  .map((code) => String.fromCodePoint(code));
const text = fc.oneof(
  { weight: 3, arbitrary: fc.constantFrom(...hostileTexts) },
  { weight: 1, arbitrary: fc.string({ unit: codePoint, maxLength: 40 }) },
  { weight: 1, arbitrary: fc.string({ maxLength: 40 }) },
);
const value = fc.oneof(
  { weight: 4, arbitrary: fc.constantFrom(...hostileValues) },
  { weight: 1, arbitrary: fc.jsonValue({ maxDepth: 3 }) },
);
const names = fc.oneof(
  { weight: 8, arbitrary: fc.constant('fuzz-a') },
  { weight: 2, arbitrary: fc.constantFrom('fuzz-b', 'default') },
  { weight: 1, arbitrary: text },
);

/** Names of fields that mean something to one kind or another. */
const fields = fc.oneof(
  fc.constantFrom(
    ...words('apiVersion kind metadata spec status data stringData binaryData type rules'),
    ...words('name namespace generateName labels annotations finalizers ownerReferences uid'),
    ...words('resourceVersion generation deletionTimestamp managedFields creationTimestamp items'),
    ...words('replicas subjects roleRef template selector placement manifests conditions'),
  ),
  text,
);

interface Change {
  readonly path: readonly number[];
  readonly action: 'set' | 'remove' | 'add' | 'repeat';
  readonly field: string;
  readonly value: unknown;
}

const change: fc.Arbitrary<Change> = fc.record({
  path: fc.array(fc.nat(7), { maxLength: 6 }),
  action: fc.constantFrom('set', 'remove', 'add', 'repeat'),
  field: fields,
  value,
});

/** The object with one place changed: the numbers of `path` choose among the children there. */
function changed(object: unknown, { path, action, field, value: replacement }: Change): unknown {
  const copy = structuredClone(object);
  let place: unknown = copy;
  for (const index of path) {
    const children: unknown[] = isTree(place) ? Object.values(place).filter(isTree) : [];
    const next = children[index % Math.max(1, children.length)];
    if (next === undefined) break;
    place = next;
  }
  if (!isTree(place)) return copy;
  const keys = Object.keys(place);
  const key = keys[(path.at(-1) ?? 0) % Math.max(1, keys.length)];
  if (Array.isArray(place)) {
    if (action === 'repeat') place.push(...structuredClone(place));
    else if (action === 'remove') place.pop();
    else place.push(replacement);
  } else if (action === 'add') define(place, field, replacement);
  else if (key !== undefined && action === 'remove') delete place[key];
  else if (key !== undefined) define(place, key, replacement);
  return copy;
}

const isTree = (tree: unknown): tree is Record<string, unknown> => typeof tree === 'object' && tree !== null;

/** As JSON.parse does: also a field that is called `__proto__`. */
function define(object: Record<string, unknown>, name: string, content: unknown): void {
  Object.defineProperty(object, name, {
    value: content,
    enumerable: true,
    writable: true,
    configurable: true,
  });
}

const operation = fc.record(
  {
    op: fc.constantFrom('add', 'remove', 'replace', 'move', 'copy', 'test', 'nonsense'),
    path: fc.oneof(
      fc.constantFrom(
        '',
        '/',
        '/metadata',
        '/metadata/labels/a',
        '/data/a',
        '/data/-',
        '/spec',
        '/a~1b',
        '/~',
        '/~2',
      ),
      fc.array(fields, { maxLength: 4 }).map((parts) => `/${parts.join('/')}`),
    ),
    from: fc.constantFrom('', '/data', '/metadata', '/metadata/name', '/spec'),
    value,
  },
  { requiredKeys: ['op'] },
);

const contentTypes = [
  'application/json',
  'application/json',
  'application/merge-patch+json',
  'application/json-patch+json',
  'application/strategic-merge-patch+json',
  'application/apply-patch+yaml',
  'application/yaml',
  'application/vnd.kubernetes.protobuf',
];
const accepts = [
  'application/json',
  'application/json',
  'application/json;as=Table;v=v1;g=meta.k8s.io,application/json',
  'application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1',
  'application/vnd.kubernetes.protobuf,application/json',
  'application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList',
  'application/com.github.proto-openapi.spec.v2@v1.0+protobuf',
  '*/*',
  'text/html',
  ';;;,,,=',
];

/** What a header may hold at all; what it may not is left to the raw connections. */
const headerText = (content: string): string => content.replace(/[^\x20-\x7e]/g, '?').trim();

const header = fc.oneof(
  fc.tuple(fc.constantFrom('content-type', 'content-type', 'content-type'), fc.constantFrom(...contentTypes)),
  fc.tuple(fc.constant('accept'), fc.constantFrom(...accepts)),
  fc.tuple(fc.constant('accept-encoding'), fc.constantFrom('gzip', 'gzip;q=0', 'br', '*', ',,')),
  fc.tuple(
    fc.constantFrom(
      ...words('authorization impersonate-user impersonate-group impersonate-uid impersonate-extra-a%2fb'),
      ...words('if-none-match audit-id user-agent x-forwarded-for content-encoding expect range'),
      ...words('accept content-type content-length-x cookie origin'),
    ),
    text.map(headerText),
  ),
  fc.tuple(
    fc.constant('authorization'),
    fc.constantFrom('Bearer a.b.c', 'Bearer eyJhbGciOiJub25lIn0.e30.', 'Basic YTpi'),
  ),
);

const parameter = fc.tuple(
  fc.constantFrom(
    ...words('watch limit continue resourceVersion resourceVersionMatch labelSelector fieldSelector'),
    ...words('timeoutSeconds allowWatchBookmarks sendInitialEvents dryRun fieldManager fieldValidation'),
    ...words('force includeObject propagationPolicy gracePeriodSeconds pretty verbose exclude hash'),
  ),
  fc.oneof(
    fc.constantFrom(
      ...words('true false 1 0 All Strict Warn Ignore Exact NotOlderThan Metadata'),
      ...words('Background Foreground Orphan a=b !a metadata.name=fuzz-a 5'),
      'a in (b,c)',
      'a notin (',
      ...words('metadata.namespace!=x,metadata.name==y fuzz eyJyIjoxfQ eyJ2IjoibWV0YS5rOHMuaW8vdjEifQ=='),
    ),
    text,
  ),
);

const oddPaths = [
  ...words('/ /api /apis /version /openapi/v2 /openapi/v3 /healthz /readyz /livez/ping /metrics'),
  ...words('/api/v1 /apis/apps /apis/apps/v1 /openapi/v3/api/v1 // /./ /api//v1 /api/v1/ /%2e%2e/'),
  ...words(
    '/api/v1/namespaces/default /api/v1/namespaces/fuzz-a/finalize /api/v1/watch/pods /apis/x/y/z/a/b/c/d',
  ),
  ...words('/sync/v1 /gateway/v1/enroll /gateway/v1/identity /content/v1/x /selvedge/v1/nothing'),
  ...words('/.well-known/openid-configuration /openid/v1/jwks * https://elsewhere/api/v1 /api/v1/pods?a?b#c'),
];

const methods = fc.oneof(
  { weight: 20, arbitrary: fc.constantFrom('GET', 'GET', 'POST', 'POST', 'PUT', 'PATCH', 'PATCH', 'DELETE') },
  { weight: 1, arbitrary: fc.constantFrom('HEAD', 'OPTIONS', 'TRACE', 'PROPFIND', 'M-SEARCH') },
);

function protobuf(object: unknown, garbage: Uint8Array): Uint8Array {
  const { apiVersion, kind } = (isTree(object) ? object : {}) as { apiVersion?: unknown; kind?: unknown };
  const field = (number: number, bytes: Uint8Array) =>
    Buffer.concat([Buffer.from([(number << 3) | 2, bytes.length & 0x7f]), bytes.subarray(0, 0x7f)]);
  const type = Buffer.concat([
    field(1, Buffer.from(String(apiVersion).slice(0, 60))),
    field(2, Buffer.from(String(kind).slice(0, 60))),
  ]);
  return Buffer.concat([Buffer.from('k8s\0'), field(1, type), field(2, garbage)]);
}

const anyBody = (object: fc.Arbitrary<unknown>): fc.Arbitrary<Uint8Array | undefined> => {
  const json = object.map(toJson);
  return fc.oneof(
    { weight: 2, arbitrary: json },
    { weight: 2, arbitrary: fc.constantFrom(...hostileDocuments).map((document) => Buffer.from(document)) },
    {
      weight: 2,
      arbitrary: fc.tuple(object, fc.uint8Array({ maxLength: 60 })).map((parts) => protobuf(...parts)),
    },
    { weight: 3, arbitrary: fc.tuple(json, flips).map(([bytes, places]) => flipped(bytes, places)) },
    { weight: 1, arbitrary: fc.uint8Array({ maxLength: 200 }) },
    { weight: 1, arbitrary: fc.constant(undefined) },
  );
};

const flips = fc.array(fc.tuple(fc.nat(2_000), fc.nat(255)), { minLength: 1, maxLength: 4 });
const toJson = (tree: unknown): Buffer => Buffer.from(JSON.stringify(tree) ?? '');

function flipped(bytes: Uint8Array, places: readonly (readonly [number, number])[]): Uint8Array {
  for (const [at, byte] of places) if (bytes.length > 0) bytes[at % bytes.length] = byte;
  return bytes;
}

const subresources = fc.oneof(
  { weight: 12, arbitrary: fc.constant('') },
  { weight: 3, arbitrary: fc.constantFrom('/status', '/scale', '/token', '/finalize') },
  { weight: 1, arbitrary: text.map((content) => `/${encodeURIComponent(content.toWellFormed())}`) },
);
const place = (path: string, suffix: fc.Arbitrary<string>): fc.Arbitrary<string> =>
  fc.tuple(names, suffix).map(([name, rest]) => `${path}/${encodeURIComponent(name.toWellFormed())}${rest}`);

/** What a request is before query and headers are added. */
interface Core {
  readonly method: string;
  readonly path: string;
  readonly type: string;
  readonly parameters: readonly (readonly [string, string])[];
  readonly body: Uint8Array | undefined;
}

/** Requests that make sense for a kind, with something wrong in the object or not even that. */
function sensible({ path, object }: FuzzKind): fc.Arbitrary<Core> {
  const tree = fc.tuple(fc.constant(object), fc.array(change, { maxLength: 3 })).map(changeAll);
  const some = fc.tuple(fc.constant(object), fc.array(change, { minLength: 1, maxLength: 3 })).map(changeAll);
  const json = tree.map(toJson);
  const yaml = ['application/yaml', 'application/json'];
  const core = (
    method: string,
    at: fc.Arbitrary<string>,
    ...[type, body]: [fc.Arbitrary<string>, fc.Arbitrary<Uint8Array | undefined>]
  ) => fc.record({ method: fc.constant(method), path: at, type, parameters: fc.constant([]), body });
  const here = fc.constant(path);
  const one = place(path, subresources);
  const none = fc.constant(undefined);
  const noType = fc.constant('');
  const apply = fc.record({
    method: fc.constant('PATCH'),
    path: one,
    type: fc.constant('application/apply-patch+yaml'),
    parameters: fc.constantFrom(
      [['fieldManager', 'fuzz'] as const],
      [['fieldManager', 'other'] as const, ['force', 'true'] as const],
    ),
    body: json,
  });
  return fc.oneof(
    { weight: 6, arbitrary: core('POST', here, fc.constantFrom(...yaml), json) },
    { weight: 1, arbitrary: core('POST', one, fc.constant('application/json'), json) },
    { weight: 4, arbitrary: core('PUT', one, fc.constantFrom(...yaml), json) },
    { weight: 4, arbitrary: apply },
    {
      weight: 3,
      arbitrary: core('PATCH', one, fc.constant('application/merge-patch+json'), some.map(toJson)),
    },
    {
      weight: 3,
      arbitrary: core('PATCH', one, fc.constant('application/strategic-merge-patch+json'), some.map(toJson)),
    },
    {
      weight: 4,
      arbitrary: core(
        'PATCH',
        one,
        fc.constant('application/json-patch+json'),
        fc.array(operation, { maxLength: 5 }).map(toJson),
      ),
    },
    { weight: 4, arbitrary: core('GET', fc.oneof(here, one), noType, none) },
    { weight: 1, arbitrary: core('DELETE', fc.oneof(here, one), noType, none) },
  );
}

const changeAll = ([begin, changes]: [unknown, Change[]]): unknown => changes.reduce<unknown>(changed, begin);

/** Anything, with anything, anywhere. */
function nonsense({ kinds }: FuzzTarget): fc.Arbitrary<Core> {
  const kind = fc.constantFrom(...kinds);
  const object = fc
    .tuple(
      kind.map((k) => k.object),
      fc.array(change, { maxLength: 4 }),
    )
    .map(changeAll);
  const path = fc.oneof(
    { weight: 6, arbitrary: kind.chain((k) => fc.oneof(fc.constant(k.path), place(k.path, subresources))) },
    { weight: 2, arbitrary: fc.constantFrom(...oddPaths) },
    { weight: 1, arbitrary: text.map((content) => `/${content.replace(/[^\x21-\x7e]/g, '?')}`) },
  );
  const parameters = fc.constant([]);
  return fc.record({
    method: methods,
    path,
    type: fc.constantFrom('', ...contentTypes),
    parameters,
    body: anyBody(object),
  });
}

/** Requests from good to nonsense. */
export function fuzzRequests(target: FuzzTarget): fc.Arbitrary<FuzzRequest> {
  const core = fc.oneof(
    { weight: 3, arbitrary: fc.constantFrom(...target.kinds).chain(sensible) },
    { weight: 1, arbitrary: nonsense(target) },
  );
  return fc
    .record({
      core,
      query: fc.oneof(
        { weight: 1, arbitrary: fc.constant([]) },
        { weight: 1, arbitrary: fc.array(parameter, { maxLength: 3 }) },
      ),
      headers: fc.oneof(
        { weight: 2, arbitrary: fc.constant([]) },
        { weight: 1, arbitrary: fc.array(header, { maxLength: 4 }) },
      ),
    })
    .map(({ core: { method, path, type, parameters, body }, query, headers }) => ({
      method,
      path: withQuery(path, [...parameters, ...query]),
      headers: Object.fromEntries(
        [['content-type', type] as const, ...headers].filter(([, held]) => held !== ''),
      ),
      body: method === 'GET' || method === 'HEAD' ? undefined : body,
    }));
}

/** A watch always gets an end: the fuzzer waits for it. */
function withQuery(path: string, query: readonly (readonly [string, string])[]): string {
  if (query.length === 0) return path;
  const pairs = query.map(([name, held]) => `${name}=${encodeURIComponent(held.toWellFormed())}`);
  if (query.some(([name]) => name === 'watch')) pairs.unshift('timeoutSeconds=1');
  return `${path}${path.includes('?') ? '&' : '?'}${pairs.join('&')}`;
}
