import type { JsonObject } from '@selvedge/api';
import type { Resource } from '../registry/resource-catalog.ts';
import { type Operation, operationsOf } from './operations.ts';
import { gvkOf, type Reference, schemaNameOf, schemasOf, statusName } from './schema-document.ts';
import { productVersion } from './version-info.ts';

const refTo = (name: string) => ({ $ref: `#/definitions/${name}` });
const reference: Reference = (name, description) => ({ ...refTo(name), description });

export interface SwaggerDocument {
  readonly swagger: '2.0';
  readonly info: { readonly title: string; readonly version: string };
  readonly paths: Record<string, JsonObject>;
  readonly definitions: JsonObject;
}

/** The Swagger 2.0 document of everything: kubectl before 1.29 applies and explains by it. */
export function openApiV2(resources: readonly Resource[]): SwaggerDocument {
  const paths: Record<string, JsonObject> = {};
  for (const resource of resources) {
    for (const operation of operationsOf(resource)) {
      const item = (paths[operation.path] ??= {});
      item[operation.method] = describeOperation(resource, operation);
    }
  }
  return {
    swagger: '2.0',
    info: { title: 'Selvedge', version: productVersion },
    paths,
    definitions: schemasOf(resources, reference),
  };
}

function describeOperation(resource: Resource, operation: Operation): JsonObject {
  const { kind = resource.ref, answersAnything, answersList, answersStatus } = operation;
  const name = schemaNameOf(kind);
  const answer = answersStatus ? statusName : answersList ? `${name}List` : name;
  return {
    operationId: operation.id,
    produces: [answersAnything ? '*/*' : 'application/json'],
    ...(operation.consumes.length > 0 ? { consumes: operation.consumes } : {}),
    parameters: operation.parameters.map((p) => ({ ...p, in: 'query', uniqueItems: true })),
    responses: { 200: { description: 'OK', schema: answersAnything ? { type: 'string' } : refTo(answer) } },
    'x-kubernetes-action': operation.action,
    'x-kubernetes-group-version-kind': gvkOf(kind),
  };
}
