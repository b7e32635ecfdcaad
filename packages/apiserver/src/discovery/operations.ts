import type { Resource } from '../registry/resource-catalog.ts';
import { pathOf } from './legacy.ts';

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
  parameter('propagationPolicy', 'string', 'Background, Foreground or Orphan.'),
];
const patchTypes = [
  'application/apply-patch+yaml',
  'application/json-patch+json',
  'application/merge-patch+json',
];
const objectTypes = ['application/json', 'application/yaml'];

/** Everything that can be asked of a kind, for the OpenAPI documents. */
export function operationsOf(resource: Resource): Operation[] {
  const { ref, definition, source } = resource;
  const scope = ref.namespaced ? '/namespaces/{namespace}' : '';
  const collection = `${pathOf(resource)}${scope}/${ref.plural}`;
  const item = `${collection}/{name}`;
  const build = (
    operation: Pick<Operation, 'path' | 'method' | 'action'> & Partial<Operation>,
  ): Operation => ({
    parameters: [],
    consumes: [],
    answersList: false,
    id: `${operation.action}${capital(ref.group.replaceAll('.', ''))}${capital(ref.version)}${ref.kind}${
      operation.path.endsWith('/status') ? 'Status' : ''
    }`,
    ...operation,
  });
  const reads = [
    build({ path: collection, method: 'get', action: 'list', parameters: listParameters, answersList: true }),
    build({ path: item, method: 'get', action: 'get' }),
  ];
  if (source) return reads;
  const patch = {
    parameters: [...writeParameters, force],
    consumes: [
      ...patchTypes,
      ...(definition.strategicMergePatch ? ['application/strategic-merge-patch+json'] : []),
    ],
  };
  const put = { parameters: writeParameters, consumes: objectTypes };
  const writes = [
    build({ path: collection, method: 'post', action: 'post', ...put }),
    build({ path: item, method: 'put', action: 'put', ...put }),
    build({ path: item, method: 'patch', action: 'patch', ...patch }),
    build({ path: item, method: 'delete', action: 'delete', parameters: deleteParameters }),
  ];
  const status = [
    build({ path: `${item}/status`, method: 'get', action: 'get' }),
    build({ path: `${item}/status`, method: 'put', action: 'put', ...put }),
    build({ path: `${item}/status`, method: 'patch', action: 'patch', ...patch }),
  ];
  return [...reads, ...writes, ...(definition.statusSubresource ? status : [])];
}

const capital = (text: string): string => text.slice(0, 1).toUpperCase() + text.slice(1);
