import type { JsonObject } from '@selvedge/api';
import type { Resource } from '../registry/resource-catalog.ts';
import { type Operation, operationsOf, type QueryParameter } from './operations.ts';
import {
  deleteOptionsName,
  gvkOf,
  patchName,
  type Reference,
  schemaNameOf,
  schemasOf,
  statusName,
} from './schema-document.ts';
import { productVersion } from './version-info.ts';

const refTo = (name: string) => ({ $ref: `#/components/schemas/${name}` });
/** In OpenAPI 3.0 nothing may stand beside `$ref`. */
const reference: Reference = (name, description) => ({ allOf: [refTo(name)], default: {}, description });

/** The OpenAPI 3.0 document of one group and version. */
export function openApiV3(resources: readonly Resource[]): object {
  const paths: Record<string, JsonObject> = {};
  for (const resource of resources) {
    for (const operation of operationsOf(resource)) {
      const item = (paths[operation.path] ??= { parameters: pathParameters(operation.path) });
      item[operation.method] = describeOperation(resource, operation);
    }
  }
  return {
    openapi: '3.0.0',
    info: { title: 'Selvedge', version: productVersion },
    paths,
    components: { schemas: schemasOf(resources, reference) },
  };
}

function pathParameters(path: string): object[] {
  return [...path.matchAll(/\{(\w+)\}/g)].map(([, name]) => ({
    name,
    in: 'path',
    required: true,
    schema: { type: 'string', uniqueItems: true },
  }));
}

function describeOperation(resource: Resource, operation: Operation): object {
  const { kind = resource.ref, answersList, answersStatus, method, consumes } = operation;
  if (operation.answersAnything) return describeConnect(operation, kind);
  const name = schemaNameOf(kind);
  const answer = refTo(answersStatus ? statusName : answersList ? `${name}List` : name);
  const isDelete = method === 'delete';
  const body = refTo(isDelete ? deleteOptionsName : method === 'patch' ? patchName : name);
  const types = isDelete ? ['application/json'] : consumes;
  return {
    operationId: operation.id,
    parameters: operation.parameters.map(describeParameter),
    ...(types.length > 0
      ? { requestBody: { ...(isDelete ? {} : { required: true }), content: contentOf(types, body) } }
      : {}),
    responses: { 200: { description: 'OK', content: contentOf(['application/json'], answer) } },
    'x-kubernetes-action': operation.action,
    'x-kubernetes-group-version-kind': gvkOf(kind),
  };
}

function describeConnect(operation: Operation, kind: Parameters<typeof gvkOf>[0]): object {
  return {
    operationId: operation.id,
    responses: { 200: { description: 'OK', content: contentOf(['*/*'], { type: 'string' }) } },
    'x-kubernetes-action': operation.action,
    'x-kubernetes-group-version-kind': gvkOf(kind),
  };
}

const contentOf = (types: readonly string[], schema: object) =>
  Object.fromEntries(types.map((type) => [type, { schema }]));

function describeParameter({ name, type, description }: QueryParameter): object {
  return { name, in: 'query', description, schema: { type, uniqueItems: true } };
}
