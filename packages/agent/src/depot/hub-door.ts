import type { IncomingMessage } from 'node:http';
import type { ImageReference } from '@selvedge/api';
import { DepotError } from './depot.ts';
import { toDepotError } from './depot-error.ts';
import type { DoorRequest, RegistryDoor } from './registry-door.ts';

/** A signed request of this agent to its hub: `HubApi.open`. */
export type OpenAtHub = (
  path: string,
  options: { headers: Readonly<Record<string, string>>; signal: AbortSignal },
) => Promise<IncomingMessage>;

/** The hub's own registry, asked over the connection that the agent has with its hub, as the site that it is. */
export class HubRegistryDoor implements RegistryDoor {
  readonly registry: string;
  readonly #repository: string;
  readonly #open: OpenAtHub;

  constructor(reference: ImageReference, open: OpenAtHub) {
    this.registry = reference.registry;
    this.#repository = reference.repository;
    this.#open = open;
  }

  async open({ path, headers, signal }: DoorRequest): Promise<IncomingMessage> {
    let answer: IncomingMessage;
    try {
      answer = await this.#open(`/v2/${this.#repository}/${path}`, { headers, signal });
    } catch (error) {
      signal.throwIfAborted();
      throw toDepotError(error, 'the registry of the hub cannot be reached');
    }
    if (answer.statusCode !== 401 && answer.statusCode !== 403) return answer;
    answer.resume();
    throw new DepotError(
      'Denied',
      `the hub refuses ${this.#repository} of its registry to this site: a site may read what its releases name`,
      { isLasting: answer.statusCode === 403 },
    );
  }
}
