import { type BmcQuirkName, bmcQuirks, type Logger } from '@selvedge/api';

/** Quirks of one BMC: those of the order, those that its vendor's name brings, those that were found out. */
export class QuirkSet {
  readonly #names: Set<string>;
  readonly #logger: Logger;

  constructor(names: readonly string[], logger: Logger) {
    this.#names = new Set(names);
    this.#logger = logger;
  }

  has(name: BmcQuirkName): boolean {
    return this.#names.has(name);
  }

  /** Adds what the vendor's name brings. */
  learnVendor(vendor: string): void {
    for (const name of quirksOfVendor(vendor)) this.#names.add(name);
  }

  /** The BMC showed it. */
  found(name: BmcQuirkName): void {
    if (this.#names.has(name)) return;
    this.#names.add(name);
    this.#logger.info('a quirk of the BMC was found out', { quirk: name });
  }

  get names(): readonly string[] {
    return [...this.#names].sort();
  }
}

export function quirksOfVendor(vendor: string): BmcQuirkName[] {
  const words = vendor.toLowerCase();
  const isOf = (part: string) => new RegExp(`(^|[^a-z])${part}`).test(words);
  return bmcQuirks.filter(({ vendors }) => vendors.some(isOf)).map(({ name }) => name);
}
