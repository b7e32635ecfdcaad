/** An answer other than 2xx, in the shape of DSP0266. */
export class RedfishError extends Error {
  override readonly name = 'RedfishError';
  readonly status: number;
  readonly messageId: string;

  /** @param messageId as in `Base.1.12.ActionParameterValueConflict`. */
  constructor(status: number, messageId: string, message: string) {
    super(message);
    this.status = status;
    this.messageId = messageId;
  }

  get body(): object {
    return {
      error: {
        code: this.messageId,
        message: this.message,
        '@Message.ExtendedInfo': [{ MessageId: this.messageId, Message: this.message, Severity: 'Warning' }],
      },
    };
  }
}

export function notFound(path: string): RedfishError {
  return new RedfishError(404, 'Base.1.12.ResourceMissingAtURI', `Nothing is at ${path}.`);
}

export function badRequest(message: string, messageId = 'Base.1.12.PropertyValueNotInList'): RedfishError {
  return new RedfishError(400, messageId, message);
}
