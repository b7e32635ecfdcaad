import type { Resource } from '../registry/resource-catalog.ts';
import type { JsonObject } from '../schema/json-value.ts';
import { type Operation, operationsOf, type QueryParameter } from './operations.ts';
import { gvkOf, type Reference, schemaNameOf, schemasOf } from './schema-document.ts';
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
  const name = schemaNameOf(resource);
  const schema = refTo(operation.answersList ? `${name}List` : name);
  const isPatch = operation.method === 'patch';
  const body = isPatch ? { type: 'object' } : refTo(name);
  return {
    operationId: operation.id,
    parameters: operation.parameters.map(describeParameter),
    ...(operation.consumes.length > 0
      ? { requestBody: { required: true, content: contentOf(operation.consumes, body) } }
      : {}),
    responses: { 200: { description: 'OK', content: contentOf(['application/json'], schema) } },
    'x-kubernetes-action': operation.action,
    'x-kubernetes-group-version-kind': gvkOf(resource),
  };
}

const contentOf = (types: readonly string[], schema: object) =>
  Object.fromEntries(types.map((type) => [type, { schema }]));

function describeParameter({ name, type, description }: QueryParameter): object {
  return { name, in: 'query', description, schema: { type, uniqueItems: true } };
}
