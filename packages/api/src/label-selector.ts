import type { Static } from 'typebox';
import { fieldForbidden, fieldInvalid, fieldNotSupported, fieldRequired } from './field-error.ts';
import type { labelSelectorSchema } from './kinds/label-selector-schema.ts';
import { faultOfLabelKey, faultOfLabelValue } from './object-name.ts';
import { badRequest, type FieldError } from './status-error.ts';

export type LabelSelector = Static<typeof labelSelectorSchema>;
export type Labels = Readonly<Record<string, string>>;

/** One condition on one label. All of a selector's requirements have to hold; none at all match everything. */
export interface LabelRequirement {
  readonly key: string;
  readonly operator: 'In' | 'NotIn' | 'Exists' | 'DoesNotExist' | 'GreaterThan' | 'LessThan';
  readonly values: readonly string[];
}

/** As Kubernetes: `NotIn` also holds where the label is absent. */
export function matchesRequirements(
  labels: Labels | undefined,
  requirements: readonly LabelRequirement[],
): boolean {
  return requirements.every((requirement) => holds(labels ?? {}, requirement));
}

/** Whether an object with these labels is selected. The selector has to be valid. */
export function matchesLabelSelector(labels: Labels | undefined, selector: LabelSelector): boolean {
  return matchesRequirements(labels, requirementsOf(selector));
}

export function requirementsOf(selector: LabelSelector): LabelRequirement[] {
  const exact = Object.entries(selector.matchLabels ?? {}).map(
    ([key, value]): LabelRequirement => ({ key, operator: 'In', values: [value] }),
  );
  const expressions = (selector.matchExpressions ?? []).map(
    ({ key, operator, values }): LabelRequirement => ({ key, operator, values: values ?? [] }),
  );
  return [...exact, ...expressions];
}

function holds(labels: Labels, { key, operator, values }: LabelRequirement): boolean {
  const value = Object.hasOwn(labels, key) ? labels[key] : undefined;
  switch (operator) {
    case 'Exists':
      return value !== undefined;
    case 'DoesNotExist':
      return value === undefined;
    case 'In':
      return value !== undefined && values.includes(value);
    case 'NotIn':
      return value === undefined || !values.includes(value);
    case 'GreaterThan':
    case 'LessThan': {
      if (value === undefined || !/^-?\d+$/.test(value)) return false;
      const limit = BigInt(values[0] ?? '0');
      return operator === 'GreaterThan' ? BigInt(value) > limit : BigInt(value) < limit;
    }
  }
}

/** What is wrong with a selector object, with the paths of its fields below `path`. */
export function validateLabelSelector(selector: LabelSelector, path: string): FieldError[] {
  const errors: FieldError[] = [];
  for (const [key, value] of Object.entries(selector.matchLabels ?? {})) {
    const keyFault = faultOfLabelKey(key);
    if (keyFault) errors.push(fieldInvalid(`${path}.matchLabels`, key, keyFault));
    const valueFault = faultOfLabelValue(value);
    if (valueFault) errors.push(fieldInvalid(`${path}.matchLabels[${key}]`, value, valueFault));
  }
  for (const [index, expression] of (selector.matchExpressions ?? []).entries()) {
    errors.push(...validateExpression(expression, `${path}.matchExpressions[${index}]`));
  }
  return errors;
}

const operators = ['In', 'NotIn', 'Exists', 'DoesNotExist'] as const;

function validateExpression(
  { key, operator, values }: NonNullable<LabelSelector['matchExpressions']>[number],
  path: string,
): FieldError[] {
  const errors: FieldError[] = [];
  const count = values?.length ?? 0;
  if (!operators.includes(operator)) errors.push(fieldNotSupported(`${path}.operator`, operator, operators));
  else if ((operator === 'In' || operator === 'NotIn') && count === 0) {
    errors.push(fieldRequired(`${path}.values`, "must be specified when `operator` is 'In' or 'NotIn'"));
  } else if ((operator === 'Exists' || operator === 'DoesNotExist') && count > 0) {
    errors.push(
      fieldForbidden(`${path}.values`, "may not be specified when `operator` is 'Exists' or 'DoesNotExist'"),
    );
  }
  const keyFault = faultOfLabelKey(key);
  if (keyFault) errors.push(fieldInvalid(`${path}.key`, key, keyFault));
  for (const [index, value] of (values ?? []).entries()) {
    const fault = faultOfLabelValue(value);
    if (fault) errors.push(fieldInvalid(`${path}.values[${index}]`, value, fault));
  }
  return errors;
}

/** The text form of a selector, for `labelSelector` in a request; '' selects everything. */
export function formatLabelSelector(selector: LabelSelector): string {
  const parts = requirementsOf(selector).map(({ key, operator, values }) => {
    if (operator === 'Exists') return key;
    if (operator === 'DoesNotExist') return `!${key}`;
    return `${key} ${operator === 'In' ? 'in' : 'notin'} (${values.join(',')})`;
  });
  return parts.join(',');
}

/**
 * Reads the text form that `kubectl -l` sends: `a=b,c!=d,e in (x,y),f notin (z),g,!h,i>3`. An empty text selects
 * everything. Throws `BadRequest`.
 */
export function parseLabelSelector(text: string): LabelRequirement[] {
  const tokens = [...text.matchAll(/==|!=|[=!(),<>]|[^\s=!(),<>]+/g)].map((match) => match[0]);
  const reader = new SelectorReader(text, tokens);
  const requirements: LabelRequirement[] = [];
  while (!reader.atEnd) {
    requirements.push(reader.requirement());
    if (!reader.atEnd) {
      reader.expect(',');
      if (reader.atEnd) throw reader.fault("found nothing after ','");
    }
  }
  return requirements;
}

const symbols = new Set(['==', '!=', '=', '!', '(', ')', ',', '<', '>']);

class SelectorReader {
  readonly #text: string;
  readonly #tokens: readonly string[];
  #position = 0;

  constructor(text: string, tokens: readonly string[]) {
    this.#text = text;
    this.#tokens = tokens;
  }

  get atEnd(): boolean {
    return this.#position >= this.#tokens.length;
  }

  requirement(): LabelRequirement {
    if (this.#accept('!')) return { key: this.#key(), operator: 'DoesNotExist', values: [] };
    const key = this.#key();
    const operator = this.atEnd || this.#peek() === ',' ? undefined : this.#next();
    switch (operator) {
      case undefined:
        return { key, operator: 'Exists', values: [] };
      case '=':
      case '==':
        return { key, operator: 'In', values: [this.#value()] };
      case '!=':
        return { key, operator: 'NotIn', values: [this.#value()] };
      case 'in':
        return { key, operator: 'In', values: this.#list() };
      case 'notin':
        return { key, operator: 'NotIn', values: this.#list() };
      case '>':
      case '<':
        return { key, operator: operator === '>' ? 'GreaterThan' : 'LessThan', values: [this.#integer()] };
      default:
        throw this.fault(`found '${operator}', expected one of =, ==, !=, in, notin, <, >`);
    }
  }

  expect(token: string): void {
    const found = this.#next();
    if (found !== token) throw this.fault(`found '${found}', expected '${token}'`);
  }

  fault(why: string): Error {
    return badRequest(`unable to parse label selector "${this.#text}": ${why}`);
  }

  #peek(): string | undefined {
    return this.#tokens[this.#position];
  }

  #next(): string {
    const token = this.#tokens[this.#position++];
    if (token === undefined) throw this.fault('it ends too early');
    return token;
  }

  #accept(token: string): boolean {
    if (this.#peek() !== token) return false;
    this.#position++;
    return true;
  }

  #key(): string {
    const key = this.#next();
    const fault = symbols.has(key) ? 'expected the key of a label' : faultOfLabelKey(key);
    if (fault) throw this.fault(`'${key}': ${fault}`);
    return key;
  }

  /** Nothing before the next comma or parenthesis is the empty value. */
  #value(): string {
    const next = this.#peek();
    if (next === undefined || next === ',' || next === ')') return '';
    const value = this.#next();
    const fault = symbols.has(value) ? 'expected the value of a label' : faultOfLabelValue(value);
    if (fault) throw this.fault(`'${value}': ${fault}`);
    return value;
  }

  #integer(): string {
    const value = this.#value();
    if (!/^-?\d+$/.test(value)) throw this.fault(`'${value}': with < and > the value must be a whole number`);
    return value;
  }

  #list(): string[] {
    this.expect('(');
    const values = [this.#value()];
    while (this.#accept(',')) values.push(this.#value());
    this.expect(')');
    return values;
  }
}
