import type { Resource } from '../registry/resource-catalog.ts';
import { pathOf } from './legacy.ts';
import { type Subresource, subresourcesOf, verbsOf } from './verbs.ts';

export interface QueryParameter {
  readonly name: string;
  readonly type: 'string' | 'boolean' | 'integer';
  readonly description: string;
}

export interface Operation {
  readonly path: string;
  readonly method: 'get' | 'post' | 'put' | 'patch' | 'delete';
  /** As in `x-kubernetes-action`. */
  readonly action: string;
  readonly id: string;
  readonly parameters: readonly QueryParameter[];
  /** Media types of the body; empty for none. */
  readonly consumes: readonly string[];
  readonly answersList: boolean;
  /** Whatever is there answers, in whatever form. */
  readonly answersAnything?: true;
  /** Answers with a Status. */
  readonly answersStatus?: true;
  /** Of body and answer, where it is not the kind itself (`scale`, `token`). */
  readonly kind?: Subresource['kind'];
}

const parameter = (name: string, type: QueryParameter['type'], description: string): QueryParameter => ({
  name,
  type,
  description,
});
const writeParameters = [
  parameter('dryRun', 'string', 'All: check and answer, store nothing.'),
  parameter('fieldManager', 'string', 'Who owns the fields that are written.'),
  parameter(
    'fieldValidation',
    'string',
    'What to do about unknown and duplicate fields: Strict, Warn or Ignore.',
  ),
];
const force = parameter('force', 'boolean', 'With apply: take fields that other managers own.');
const listParameters = [
  parameter('labelSelector', 'string', 'Only objects with these labels.'),
  parameter('fieldSelector', 'string', 'Only objects with these fields.'),
  parameter('limit', 'integer', 'At most so many; the answer says how to go on.'),
  parameter('continue', 'string', 'Go on with a list that was cut by limit.'),
  parameter('resourceVersion', 'string', 'Not older than this.'),
  parameter('resourceVersionMatch', 'string', 'NotOlderThan or Exact.'),
  parameter('watch', 'boolean', 'Stream changes instead.'),
  parameter('allowWatchBookmarks', 'boolean', 'Send bookmarks in a watch.'),
  parameter('sendInitialEvents', 'boolean', 'Begin a watch with the present objects.'),
  parameter('timeoutSeconds', 'integer', 'End a watch after so long.'),
];
const deleteParameters = [
  ...writeParameters.slice(0, 1),
  parameter('gracePeriodSeconds', 'integer', 'Taken, without effect: nothing here has to end gracefully.'),
  parameter('orphanDependents', 'boolean', 'The older way to say propagationPolicy: true is Orphan.'),
  parameter('propagationPolicy', 'string', 'What happens to dependents: Background, Foreground or Orphan.'),
];
const patchTypes = [
  'application/apply-patch+yaml',
  'application/json-patch+json',
  'application/merge-patch+json',
];
const objectTypes = ['application/json', 'application/yaml'];

/** Everything that can be asked of a kind, for the OpenAPI documents. */
export function operationsOf(resource: Resource): Operation[] {
  const { ref } = resource;
  const scope = ref.namespaced ? '/namespaces/{namespace}' : '';
  const collection = `${pathOf(resource)}${scope}/${ref.plural}`;
  const item = `${collection}/{name}`;
  const verbs = new Set(verbsOf(resource));
  return [
    ...collectionOperations(resource, collection, verbs),
    ...itemOperations(resource, item, verbs),
    ...subresourcesOf(resource).flatMap((subresource) => {
      if (subresource.handsOn) return connectOperations(resource, item, subresource);
      const path = `${item}/${subresource.name}`;
      const body = isOwnKind(resource, subresource.kind) ? undefined : subresource.kind;
      const operations = itemOperations(resource, path, new Set(subresource.verbs));
      const create = writing(resource, { path, method: 'post', action: 'post' });
      return [...operations, ...(subresource.verbs.includes('create') ? [create] : [])].map((operation) => ({
        ...operation,
        id: `${operation.id}${capital(subresource.name)}`,
        ...(body ? { kind: body } : {}),
      }));
    }),
  ];
}

type Paths = Pick<Operation, 'path' | 'method' | 'action'>;

function build(resource: Resource, operation: Paths & Partial<Operation>): Operation {
  const { group, version, kind } = resource.ref;
  return {
    parameters: [],
    consumes: [],
    answersList: false,
    id: `${operation.action}${capital(group.replaceAll(/[^a-z0-9]/g, ''))}${capital(version)}${kind}`,
    ...operation,
  };
}

const writing = (resource: Resource, operation: Paths): Operation =>
  build(resource, { ...operation, parameters: writeParameters, consumes: objectTypes });

function collectionOperations(resource: Resource, path: string, verbs: ReadonlySet<string>): Operation[] {
  const list = { parameters: listParameters, answersList: true };
  return [
    ...(verbs.has('list') ? [build(resource, { path, method: 'get', action: 'list', ...list })] : []),
    ...(verbs.has('create') ? [writing(resource, { path, method: 'post', action: 'post' })] : []),
    ...(verbs.has('deletecollection')
      ? [
          build(resource, {
            path,
            method: 'delete',
            action: 'deletecollection',
            parameters: [...deleteParameters, ...listParameters],
            answersStatus: true,
          }),
        ]
      : []),
  ];
}

function itemOperations(resource: Resource, path: string, verbs: ReadonlySet<string>): Operation[] {
  const patch = {
    parameters: [...writeParameters, force],
    consumes: [
      ...patchTypes,
      ...(resource.definition.strategicMergePatch ? ['application/strategic-merge-patch+json'] : []),
    ],
  };
  const remove = { parameters: deleteParameters, answersStatus: true } as const;
  return [
    ...(verbs.has('get') ? [build(resource, { path, method: 'get', action: 'get' })] : []),
    ...(verbs.has('update') ? [writing(resource, { path, method: 'put', action: 'put' })] : []),
    ...(verbs.has('patch') ? [build(resource, { path, method: 'patch', action: 'patch', ...patch })] : []),
    ...(verbs.has('delete')
      ? [build(resource, { path, method: 'delete', action: 'delete', ...remove })]
      : []),
  ];
}

const connectMethods = ['get', 'post', 'put', 'patch', 'delete'] as const;

function connectOperations(resource: Resource, item: string, { name, kind }: Subresource): Operation[] {
  const path = `${item}/${name}`;
  return ['', '/{path}'].flatMap((below) =>
    connectMethods.map((method) => {
      const operation = build(resource, { path: path + below, method, action: 'connect', kind });
      const suffix = `${capital(name)}${below === '' ? '' : 'WithPath'}`;
      return { ...operation, id: `${method}${capital(operation.id)}${suffix}`, answersAnything: true };
    }),
  );
}

const isOwnKind = ({ ref }: Resource, { group, version, kind }: Subresource['kind']): boolean =>
  group === ref.group && version === ref.version && kind === ref.kind;

const capital = (text: string): string => text.slice(0, 1).toUpperCase() + text.slice(1);
