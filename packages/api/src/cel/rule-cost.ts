import type { ASTNode } from '@marcbachmann/cel-js';
import type { CelSchema } from './cel-schema.ts';
import { celName } from './cel-value.ts';
import { LinearRegExp } from './linear-regexp.ts';

/** Of one rule on one object at worst, in steps of about 0.1 µs. */
export const maxRuleCost = 1_000_000;

/** What the schema says of the value that an expression stands for; `undefined`: nothing. */
type Shape = CelSchema | undefined;

/** Names that an expression may use, with what they stand for. */
export type Scope = ReadonlyMap<string, Shape>;

/** Macros that look at every item. */
const loops = new Set(['all', 'exists', 'exists_one', 'map', 'filter']);
/** What a list, map or text may hold that has no limit of its own: an object (of 3 MiB at most) has no room for more. */
const unlimited = (3 * 1024 * 1024) / 2;
/** To read through an object of the largest size. */
const wholeObject = 200_000;

/** An upper bound of what the expression costs, from the limits in the schema (`maxItems`, `maxLength`, …). */
export function costOf(node: ASTNode, scope: Scope): number {
  const own = node.op === 'rcall' ? costOfMethod(node.args, scope) : costOfReading(node, scope);
  return own + operandsOf(node).reduce((total, operand) => total + costOf(operand, scope), 0);
}

/** Without its operands. */
function costOfReading(node: ASTNode, scope: Scope): number {
  switch (node.op) {
    case '==':
    case '!=':
      return Math.min(...node.args.map((side) => weightOf(shapeOf(side, scope), side)));
    case 'in':
      return boundOf(shapeOf(node.args[1], scope), node.args[1]);
    case '+':
      return lengthOf(node.args, scope);
    case 'call':
      return node.args[0] === 'size' || node.args[0] === 'has' ? 1 : lengthOf(node.args[1], scope);
    default:
      return 1;
  }
}

/** Calls with a receiver; the body of a loop is no operand, it is done many times. */
function costOfMethod([name, receiver, args]: [string, ASTNode, ASTNode[]], scope: Scope): number {
  const shape = shapeOf(receiver, scope);
  if (isLoop(name, args)) {
    const [variable, ...bodies] = args;
    const inner = new Map([...scope, [variable.args, itemOf(shape)]]);
    const body = bodies.reduce((total, node) => total + costOf(node, inner), 1);
    return boundOf(shape, receiver) * body;
  }
  const pattern = args[0];
  if (name === 'matches' && pattern?.op === 'value') {
    return boundOf(shape, receiver) * new LinearRegExp(String(pattern.args)).size;
  }
  return name === 'size' ? 1 : 1 + lengthOf([receiver, ...args], scope);
}

function isLoop(name: string, args: readonly ASTNode[]): args is [ASTNode & { op: 'id' }, ...ASTNode[]] {
  return loops.has(name) && args.length > 1 && args[0]?.op === 'id';
}

function operandsOf({ op, args }: ASTNode): readonly ASTNode[] {
  if (op === 'value' || op === 'id') return [];
  if (op === 'rcall' && isLoop(args[0], args[2])) return [args[1]];
  return nodesIn(args);
}

function nodesIn(value: unknown): ASTNode[] {
  if (Array.isArray(value)) return value.flatMap(nodesIn);
  return typeof value === 'object' && value !== null && 'op' in value ? [value as ASTNode] : [];
}

/** How many steps it takes to go once through the texts and lists among these, some characters in one step. */
function lengthOf(nodes: readonly ASTNode[], scope: Scope): number {
  return nodes.reduce((total, node) => {
    const shape = shapeOf(node, scope);
    const isLong = shape === undefined || shape.type === 'string' || shape.type === 'array';
    return total + (isLong ? boundOf(shape, node) / 16 : 1);
  }, 1);
}

/** How many items, keys or characters it may have. */
function boundOf(shape: Shape, node: ASTNode): number {
  if (node.op === 'value') return typeof node.args === 'string' ? node.args.length : 1;
  if (node.op === 'list' || node.op === 'map') return node.args.length;
  if (node.op === 'rcall' && (node.args[0] === 'map' || node.args[0] === 'filter')) {
    return boundOf(shape, node.args[1]);
  }
  if (!shape) return unlimited;
  const { limits, type } = shape;
  if (type === 'array') return limits.maxItems ?? unlimited;
  if (type === 'string') return limits.maxLength ?? (shape.enum ? 64 : unlimited);
  if (type === 'integer' || type === 'number' || type === 'boolean') return 1;
  return shape.properties.size > 0 ? shape.properties.size : (limits.maxProperties ?? unlimited);
}

/** What it costs to compare such a value with another. */
function weightOf(shape: Shape, node?: ASTNode): number {
  if (node?.op === 'value') return boundOf(shape, node) / 16 + 1;
  if (!shape || shape.preserveUnknownFields) return wholeObject;
  const bound = node ? boundOf(shape, node) : Infinity;
  switch (shape.type) {
    case 'array': {
      const items = Math.min(bound, shape.limits.maxItems ?? unlimited);
      return Math.min(wholeObject, 1 + items * weightOf(shape.items));
    }
    case 'string':
      return 1 + Math.min(shape.limits.maxLength ?? unlimited, wholeObject) / 16;
    case 'object': {
      const values = shape.additionalProperties;
      const keys = values ? (shape.limits.maxProperties ?? unlimited) * weightOf(values) : 0;
      const fields = [...shape.properties.values()].reduce((total, field) => total + weightOf(field), 1);
      return Math.min(wholeObject, keys + fields);
    }
    default:
      return 1;
  }
}

/** What the schema says of an expression, as far as it is a way through the object. */
function shapeOf(node: ASTNode, scope: Scope): Shape {
  switch (node.op) {
    case 'id':
      return scope.get(node.args);
    case '.':
    case '.?': {
      const [parent, field] = node.args;
      const name = typeof field === 'string' ? field : String(field);
      return fieldOf(shapeOf(parent, scope), name);
    }
    case '[]':
    case '[?]':
      return itemOf(shapeOf(node.args[0], scope), true);
    case 'rcall':
      if (node.args[0] === 'filter') return shapeOf(node.args[1], scope);
      return node.args[0] === 'map' ? withoutItems(shapeOf(node.args[1], scope)) : undefined;
    default:
      return undefined;
  }
}

/** As many as before, but others. */
function withoutItems(shape: Shape): Shape {
  if (!shape) return undefined;
  const { items: _, ...list } = shape;
  return list;
}

function fieldOf(shape: Shape, name: string): Shape {
  for (const [field, schema] of shape?.properties ?? []) if (celName(field) === name) return schema;
  return shape?.additionalProperties;
}

/** What a loop's variable stands for: an item of a list, a key of a map; or, by index, a value of the map. */
function itemOf(shape: Shape, byIndex = false): Shape {
  if (shape?.items) return shape.items;
  return byIndex ? shape?.additionalProperties : undefined;
}

/** How often a rule is asked that stands below lists and maps with such schemas. */
export const timesOf = (schema: CelSchema): number =>
  schema.type === 'array'
    ? (schema.limits.maxItems ?? unlimited)
    : (schema.limits.maxProperties ?? unlimited);
