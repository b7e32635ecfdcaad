/** What the hub's registry has done since the hub started. */
export class RegistryCounts {
  readonly requests = new Map<string, number>();
  readonly bytes = { received: 0, sent: 0 };
  readonly collected = { blobs: 0, bytes: 0 };
  /** As the last collection saw it; NaN before. */
  readonly stored = { blobs: Number.NaN, bytes: Number.NaN };

  /** `status` 0: the client was gone before there was an answer. */
  request(operation: string, status: number): void {
    const key = `${operation} ${status}`;
    this.requests.set(key, (this.requests.get(key) ?? 0) + 1);
  }
}
