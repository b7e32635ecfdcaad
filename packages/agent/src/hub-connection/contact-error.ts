/**
 * The hub could not be asked, or its answer did not arrive whole. `connect`: no request has left this machine; `answer`: it may have
 * been carried out.
 */
export class ContactError extends Error {
  override readonly name = 'ContactError';
  readonly phase: 'connect' | 'answer';
  readonly isTimeout: boolean;
  /** There is a server, but it is not to be trusted. */
  readonly isUntrusted: boolean;
  /** The server closed a kept connection just when it was used: no fault, ask again at once. */
  readonly onKeptConnection: boolean;

  constructor(
    phase: 'connect' | 'answer',
    message: string,
    options: { cause?: unknown; isTimeout?: boolean; isUntrusted?: boolean; onKeptConnection?: boolean } = {},
  ) {
    super(message, options.cause === undefined ? {} : { cause: options.cause });
    this.phase = phase;
    this.isTimeout = options.isTimeout ?? false;
    this.isUntrusted = options.isUntrusted ?? false;
    this.onKeptConnection = options.onKeptConnection ?? false;
  }
}
