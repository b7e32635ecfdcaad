import { join } from 'node:path';
import type { Logger } from '@selvedge/api';
import { writeFileAtomically } from '@selvedge/api/node';
import type { HubClock } from '../hub-connection/hub-clock.ts';
import { findFile } from './atomic-file.ts';

/** How things stand with the hub; what `selvedge-agent status` says of it. */
export interface Contact {
  /** By the hub's clock. */
  readonly lastContactTime?: string;
  readonly hub?: string;
  /** What to add to this machine's clock to get the hub's. */
  readonly clockOffsetMs?: number;
  /** Absent while the hub answers. */
  readonly trouble?: string;
  readonly troubleSince?: string;
  /** The service link, while it is open: since when, by the hub's clock. */
  readonly linkSince?: string;
  /** Why it could not be opened when the hub last asked for it. */
  readonly linkTrouble?: string;
}

/**
 * Kept in a small file without fsync: it is written at every answer of the hub, and after a power cut an older
 * one does no harm.
 */
export class ContactRecord {
  readonly #path: string;
  readonly #clock: HubClock;
  readonly #logger: Logger;
  #contact: Contact = {};
  #isLoaded = false;

  constructor(options: { stateDir: string; clock: HubClock; logger: Logger }) {
    this.#path = contactPath(options.stateDir);
    this.#clock = options.clock;
    this.#logger = options.logger;
  }

  async answered(hub: string): Promise<void> {
    const { linkSince, linkTrouble } = this.#contact;
    await this.#write({
      ...(linkSince === undefined ? {} : { linkSince }),
      ...(linkTrouble === undefined ? {} : { linkTrouble }),
      lastContactTime: this.#clock.now().toISOString(),
      hub,
      clockOffsetMs: Math.round(this.#clock.offsetMs),
    });
  }

  /** The service link was opened, was closed, or could not be opened. */
  async link(now: { isOpen: boolean; trouble?: string }): Promise<void> {
    await this.#load();
    const { linkSince: _since, linkTrouble: _trouble, ...contact } = this.#contact;
    await this.#write({
      ...contact,
      ...(now.isOpen ? { linkSince: this.#clock.now().toISOString() } : {}),
      ...(now.trouble === undefined ? {} : { linkTrouble: now.trouble }),
    });
  }

  async failed(message: string): Promise<void> {
    await this.#load();
    if (this.#contact.trouble === message) return;
    const troubleSince = this.#contact.troubleSince ?? this.#clock.now().toISOString();
    await this.#write({ ...this.#contact, trouble: message, troubleSince });
  }

  async #load(): Promise<void> {
    if (this.#isLoaded) return;
    const { linkSince: _ofTheLastRun, ...contact } = await readContact(this.#path);
    if (!this.#isLoaded) this.#contact = contact;
    this.#isLoaded = true;
  }

  async #write(contact: Contact): Promise<void> {
    this.#contact = contact;
    this.#isLoaded = true;
    try {
      await writeFileAtomically(this.#path, `${JSON.stringify(contact)}\n`, { durable: false });
    } catch (error) {
      this.#logger.debug('the contact record could not be written', { error });
    }
  }
}

export function contactPath(stateDir: string): string {
  return join(stateDir, 'contact.json');
}

/** Empty when there is none, or none that can be read. */
export async function readContact(path: string): Promise<Contact> {
  try {
    return JSON.parse((await findFile(path))?.toString('utf8') ?? '{}') as Contact;
  } catch {
    return {};
  }
}
