export type RegistryFault =
  /** Not reached, too slow, or a fault of its own: asked again. */
  | 'Unavailable'
  | 'TooManyRequests'
  /** It wants credentials, or other ones. */
  | 'Denied'
  | 'NotFound'
  /** What came is not what was asked for. */
  | 'DigestMismatch'
  | 'LimitExceeded'
  /** It answers, but not as a registry does. */
  | 'Invalid';

/** Asking again soon gives the same. */
const lasting: ReadonlySet<RegistryFault> = new Set(['Denied', 'NotFound', 'LimitExceeded']);

/** Why a registry gave not what it was asked for; `message` is for people, and names no address but the registry's. */
export class RegistryError extends Error {
  override readonly name = 'RegistryError';
  readonly fault: RegistryFault;

  constructor(fault: RegistryFault, message: string, options: { cause?: unknown } = {}) {
    super(message, options);
    this.fault = fault;
  }

  get isLasting(): boolean {
    return lasting.has(this.fault);
  }
}
