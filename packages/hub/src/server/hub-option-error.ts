/** A wrong option; the message names it and what it should be. */
export class HubOptionError extends Error {
  override readonly name = 'HubOptionError';
}
