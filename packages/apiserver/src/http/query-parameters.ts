import { badRequest } from '@selvedge/api';
import type { FieldValidation } from '../registry/registry.ts';

/** The query of a request, read as the Kubernetes API defines its parameters. Throws `BadRequest`. */
export class QueryParameters {
  readonly #query: URLSearchParams;

  constructor(query: URLSearchParams) {
    this.#query = query;
  }

  text(name: string): string | undefined {
    return this.#query.get(name) || undefined;
  }

  has(name: string): boolean {
    return this.#query.has(name);
  }

  all(name: string): string[] {
    return this.#query.getAll(name);
  }

  /** As Kubernetes reads it: whatever is not plainly no is yes, `?watch` too. */
  flag(name: string): boolean {
    const value = this.#query.get(name);
    return value !== null && value !== '0' && value.toLowerCase() !== 'false';
  }

  count(name: string): number | undefined {
    const value = this.text(name);
    if (value === undefined) return undefined;
    if (!/^\d{1,15}$/.test(value))
      throw badRequest(`invalid value for ${name}: "${value}" must be a whole number`);
    return Number(value);
  }

  get dryRun(): boolean {
    const values = this.#query.getAll('dryRun').filter((v) => v !== '');
    if (values.some((v) => v !== 'All'))
      throw badRequest(`invalid value for dryRun: "${values.join(',')}" must be All`);
    return values.length > 0;
  }

  /** As far as it can be told: never throws. */
  get isDryRun(): boolean {
    return this.#query.get('dryRun') === 'All';
  }

  get fieldValidation(): FieldValidation {
    const value = this.text('fieldValidation') ?? 'Warn';
    if (value === 'Strict' || value === 'Warn' || value === 'Ignore') return value;
    throw badRequest(`invalid value for fieldValidation: "${value}" must be Strict, Warn or Ignore`);
  }

  get includeObject(): 'None' | 'Metadata' | 'Object' {
    const value = this.text('includeObject') ?? 'Metadata';
    if (value === 'None' || value === 'Metadata' || value === 'Object') return value;
    throw badRequest(`invalid value for includeObject: "${value}" must be None, Metadata or Object`);
  }
}
