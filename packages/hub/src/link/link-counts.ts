import type { Socket } from 'node:net';
import type { LinkMeter } from './link-endpoint.ts';

type Counted = Pick<Socket, 'bytesRead' | 'bytesWritten'>;

/** What went over the links of this hub since it started. */
export class LinkCounts implements LinkMeter {
  readonly #open = new Set<Counted>();
  #closedRead = 0;
  #closedWritten = 0;
  /** Links that were opened. */
  links = 0;
  /** Requests that had no link to go on. */
  failedWaits = 0;
  readonly sessions = { request: 0, upgrade: 0 };

  /** Bytes on the wire, within TLS. */
  get bytes(): { readonly toSites: number; readonly fromSites: number } {
    let [fromSites, toSites] = [this.#closedRead, this.#closedWritten];
    for (const { bytesRead, bytesWritten } of this.#open) {
      fromSites += bytesRead;
      toSites += bytesWritten;
    }
    return { toSites, fromSites };
  }

  opened(transport: Counted, closed: AbortSignal): void {
    this.links += 1;
    this.#open.add(transport);
    const onClose = () => {
      this.#open.delete(transport);
      this.#closedRead += transport.bytesRead;
      this.#closedWritten += transport.bytesWritten;
    };
    if (closed.aborted) onClose();
    else closed.addEventListener('abort', onClose, { once: true });
  }

  session(kind: 'request' | 'upgrade'): void {
    this.sessions[kind] += 1;
  }
}
