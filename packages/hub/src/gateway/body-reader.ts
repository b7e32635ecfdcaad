import { type FieldError, StatusError } from '@selvedge/api';

type Fields = Readonly<Record<string, unknown>>;

/**
 * Reads a JSON body field by field and collects every fault with its path; `finish` throws them all as one Invalid.
 * Unknown fields are left alone: a newer agent may know more than this hub.
 */
export class BodyReader {
  readonly #what: string;
  readonly #faults: FieldError[] = [];

  /** @param what names the body in the message, as in `sync request`. */
  constructor(what: string) {
    this.#what = what;
  }

  object(value: unknown, path: string): Fields {
    if (typeof value === 'object' && value !== null && !Array.isArray(value)) return value as Fields;
    this.fault(path, value === undefined ? 'FieldValueRequired' : 'FieldValueInvalid', 'must be an object');
    return {};
  }

  optionalObject(value: unknown, path: string): Fields | undefined {
    return value === undefined ? undefined : this.object(value, path);
  }

  list(value: unknown, path: string, maxItems: number): readonly unknown[] {
    if (!Array.isArray(value)) {
      this.fault(path, value === undefined ? 'FieldValueRequired' : 'FieldValueInvalid', 'must be a list');
      return [];
    }
    if (value.length <= maxItems) return value;
    this.fault(path, 'FieldValueTooLong', `must have at most ${maxItems} items`);
    return [];
  }

  string(value: unknown, path: string, limits: { max: number; pattern?: RegExp; hint?: string }): string {
    if (typeof value !== 'string') {
      this.fault(path, value === undefined ? 'FieldValueRequired' : 'FieldValueInvalid', 'must be a string');
      return '';
    }
    if (value.length > limits.max) {
      this.fault(path, 'FieldValueTooLong', `must have at most ${limits.max} characters`);
    } else if (limits.pattern !== undefined && !limits.pattern.test(value)) {
      this.fault(path, 'FieldValueInvalid', limits.hint ?? `must match ${limits.pattern.source}`);
    }
    return value;
  }

  optionalString(
    value: unknown,
    path: string,
    limits: { max: number; pattern?: RegExp; hint?: string },
  ): string | undefined {
    return value === undefined ? undefined : this.string(value, path, limits);
  }

  /** A text for people: what could steer a terminal is taken out, and it is one line. */
  text(value: unknown, path: string, limits: { max: number }): string {
    return this.string(value, path, limits)
      .replace(/[\t\n\r]+/g, ' ')
      .replace(steering, '');
  }

  optionalText(value: unknown, path: string, limits: { max: number }): string | undefined {
    return value === undefined ? undefined : this.text(value, path, limits);
  }

  /** As `text`, with its tabs and line ends. */
  lines(value: unknown, path: string, limits: { max: number }): string {
    return this.string(value, path, limits).replace(steeringInLines, '');
  }

  oneOf<T extends string>(value: unknown, path: string, allowed: readonly T[]): T {
    const found = allowed.find((a) => a === value);
    if (found !== undefined) return found;
    this.fault(path, 'FieldValueNotSupported', `must be one of ${allowed.join(', ')}`);
    return allowed[0] as T;
  }

  integer(value: unknown, path: string, limits: { min: number; max?: number }): number {
    const max = limits.max ?? Number.MAX_SAFE_INTEGER;
    if (typeof value === 'number' && Number.isSafeInteger(value) && value >= limits.min && value <= max) {
      return value;
    }
    const reason = value === undefined ? 'FieldValueRequired' : 'FieldValueInvalid';
    this.fault(path, reason, `must be a whole number from ${limits.min} to ${max}`);
    return limits.min;
  }

  boolean(value: unknown, path: string): boolean {
    if (typeof value === 'boolean') return value;
    const reason = value === undefined ? 'FieldValueRequired' : 'FieldValueInvalid';
    this.fault(path, reason, 'must be true or false');
    return false;
  }

  /** RFC 3339. */
  time(value: unknown, path: string): string {
    const hint = 'must be a time such as 2026-01-31T12:00:00.000Z';
    const text = this.string(value, path, { max: 40, pattern: rfc3339, hint });
    if (rfc3339.test(text) && Number.isNaN(Date.parse(text))) this.fault(path, 'FieldValueInvalid', hint);
    return text;
  }

  fault(field: string, reason: FieldError['reason'], message: string): void {
    if (this.#faults.length < maxFaults) this.#faults.push({ reason, field, message });
  }

  finish(): void {
    if (this.#faults.length === 0) return;
    const text = this.#faults.map((f) => `${f.field}: ${f.message}`).join('; ');
    throw new StatusError('Invalid', `the ${this.#what} is invalid: ${text}`, {
      details: { causes: this.#faults },
    });
  }
}

/** Controls, and what changes the direction of writing. */
const steering = /[\p{Cc}\u200e\u200f\u202a-\u202e\u2066-\u2069]/gu;
const steeringInLines = new RegExp(`(?![\\t\\n])${steering.source}`, 'gu');
const rfc3339 = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,9})?(Z|[+-]\d\d:\d\d)$/;
/** More would only bloat the answer. */
const maxFaults = 10;
