import { isObject, type JsonObject } from '@selvedge/api';
import type { SwaggerDocument } from './openapi-v2.ts';
import { writeDouble, writeMessage } from './protobuf-writer.ts';

/**
 * The Swagger document as protobuf: the only form that kubectl before 1.29 takes. Field numbers are those of
 * github.com/google/gnostic openapiv2/OpenAPIv2.proto.
 */
export function gnosticDocument(document: SwaggerDocument): Buffer {
  const paths = Object.entries(document.paths).map(([path, item]) => named(path, pathItem(item)));
  return writeMessage([
    [1, document.swagger],
    [
      2,
      writeMessage([
        [1, document.info.title],
        [2, document.info.version],
      ]),
    ],
    [8, writeMessage([[2, paths]])],
    [9, writeMessage([[1, namedSchemas(document.definitions)]])],
  ]);
}

const named = (name: string, value: Buffer): Buffer =>
  writeMessage([
    [1, name],
    [2, value],
  ]);

/** `Any`: JSON is YAML. */
const any = (value: unknown): Buffer => writeMessage([[2, JSON.stringify(value)]]);

const extensions = (object: JsonObject): Buffer[] =>
  Object.entries(object)
    .filter(([name]) => name.startsWith('x-'))
    .map(([name, value]) => named(name, any(value)));

const namedSchemas = (schemas: JsonObject): Buffer[] =>
  Object.entries(schemas).map(([name, s]) => named(name, schema(s as JsonObject)));

const methodNumbers = { get: 2, put: 3, post: 4, delete: 5, patch: 7 } as const;

function pathItem(item: JsonObject): Buffer {
  return writeMessage(
    Object.entries(methodNumbers)
      .filter(([method]) => method in item)
      .map(([method, number]) => [number, operation(item[method] as JsonObject)] as const),
  );
}

function operation(op: JsonObject): Buffer {
  const parameters = op['parameters'] as JsonObject[];
  const responses = Object.entries(op['responses'] as JsonObject);
  return writeMessage([
    [5, op['operationId'] as string],
    [6, op['produces'] as string[]],
    [7, op['consumes'] as string[] | undefined],
    [8, parameters.map(queryParameter)],
    [9, writeMessage([[1, responses.map(([code, r]) => named(code, response(r as JsonObject)))]])],
    [13, extensions(op)],
  ]);
}

/** ParametersItem → Parameter → NonBodyParameter → QueryParameterSubSchema. */
function queryParameter(parameter: JsonObject): Buffer {
  const query = writeMessage([
    [2, 'query'],
    [3, parameter['description'] as string],
    [4, parameter['name'] as string],
    [6, parameter['type'] as string],
    [20, true],
  ]);
  return writeMessage([[1, writeMessage([[2, writeMessage([[3, query]])]])]]);
}

function response(answer: JsonObject): Buffer {
  const body = writeMessage([[1, schema(answer['schema'] as JsonObject)]]);
  return writeMessage([
    [
      1,
      writeMessage([
        [1, answer['description'] as string],
        [2, body],
      ]),
    ],
  ]);
}

function schema(s: JsonObject): Buffer {
  const number = (name: string) => s[name] as number | undefined;
  const text = (name: string) => s[name] as string | undefined;
  const { items, properties, additionalProperties } = s as Record<string, JsonObject | undefined>;
  return Buffer.concat([
    writeMessage([
      [1, text('$ref')],
      [2, text('format')],
      [4, text('description')],
      [5, s['default'] === undefined ? undefined : any(s['default'])],
    ]),
    writeDouble(7, number('maximum')),
    writeDouble(9, number('minimum')),
    writeMessage([
      [8, s['exclusiveMaximum'] as boolean | undefined],
      [10, s['exclusiveMinimum'] as boolean | undefined],
      [11, number('maxLength')],
      [12, number('minLength')],
      [13, text('pattern')],
      [14, number('maxItems')],
      [15, number('minItems')],
      [17, number('maxProperties')],
      [18, number('minProperties')],
      [19, s['required'] as string[] | undefined],
      [20, (s['enum'] as unknown[] | undefined)?.map(any)],
      [21, isObject(additionalProperties) ? writeMessage([[1, schema(additionalProperties)]]) : undefined],
      [22, text('type') === undefined ? undefined : writeMessage([[1, text('type')]])],
      [23, items ? writeMessage([[1, schema(items)]]) : undefined],
      [25, properties ? writeMessage([[1, namedSchemas(properties)]]) : undefined],
      [31, extensions(s)],
    ]),
  ]);
}
