import { Environment } from '@marcbachmann/cel-js';
import type { CelSchema } from './cel-schema.ts';
import { celName } from './cel-value.ts';

/**
 * The names of CEL types for a schema, declared in an environment that is used to check rules: a field that does not
 * exist, or a comparison of different types, is found when the rule is compiled.
 */
export function typedEnvironment(
  self: CelSchema,
  { hasOptionalOldSelf }: { hasOptionalOldSelf: boolean },
): Environment {
  const environment = new Environment({ homogeneousAggregateLiterals: false, enableOptionalTypes: true });
  let count = 0;
  const declare = (schema: CelSchema): string => {
    const fields = [...schema.properties].map(([name, field]) => [celName(name), typeOf(field)]);
    const name = `Object${++count}`;
    // Only its name is used: nothing is evaluated in this environment.
    environment.registerType(name, { ctor: class {}, fields: Object.fromEntries(fields) });
    // Gives `!=` too.
    environment.registerOperator(`${name} == ${name}`, () => true);
    return name;
  };
  const typeOf = (schema: CelSchema | undefined): string => {
    if (!schema || schema.nullable || schema.preserveUnknownFields || schema.intOrString) return 'dyn';
    switch (schema.type) {
      case 'array':
        return `list<${typeOf(schema.items)}>`;
      case 'object':
        if (schema.properties.size > 0) return declare(schema);
        return `map<string, ${typeOf(schema.additionalProperties)}>`;
      case 'string':
        return schema.format === 'date-time' ? 'google.protobuf.Timestamp' : 'string';
      case 'integer':
        return 'int';
      case 'number':
        return 'double';
      case 'boolean':
        return 'bool';
      default:
        return 'dyn';
    }
  };
  const type = typeOf(self);
  environment.registerVariable('self', type);
  environment.registerVariable('oldSelf', hasOptionalOldSelf ? `optional<${type}>` : type);
  return environment;
}
