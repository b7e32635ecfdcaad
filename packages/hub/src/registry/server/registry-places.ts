import { DistributionError } from '../distribution-error.ts';
import type { Caller } from './registry-access.ts';

/** Requests in work at once; each holds a file or a connection, and some hundred kilobytes. */
export const registryLimits = {
  all: 128,
  /** Of all users together: the rest is kept for sites, whose images must come. */
  users: 112,
  /** What users write, together: slow uploads leave places to those who read. */
  writes: 80,
  user: 32,
  userWrites: 16,
  /** One that was taken over leaves places to the others. */
  site: 16,
} as const;

/** Who may have how many requests to the registry in work, so that nobody keeps the others from theirs. */
export class RegistryPlaces {
  readonly #taken = new Map<string, number>();

  /** Takes a place until what it returns is called. Throws DistributionError. */
  take(caller: Caller, { isRead }: { readonly isRead: boolean }): () => void {
    const wanted = wantedBy(caller, isRead);
    const full = wanted.find(({ name, most }) => this.#count(name) >= most);
    if (full !== undefined) throw new DistributionError('TOOMANYREQUESTS', full.message);
    for (const { name } of wanted) this.#taken.set(name, this.#count(name) + 1);
    return () => {
      for (const { name } of wanted) {
        const left = this.#count(name) - 1;
        if (left > 0) this.#taken.set(name, left);
        else this.#taken.delete(name);
      }
    };
  }

  #count(name: string): number {
    return this.#taken.get(name) ?? 0;
  }
}

interface Wanted {
  readonly name: string;
  readonly most: number;
  readonly message: string;
}

const busy = 'the registry has too much to do: try again soon';

function wantedBy(caller: Caller, isRead: boolean): Wanted[] {
  const { all, users, writes, user, userWrites, site } = registryLimits;
  const places: Wanted[] = [{ name: 'all', most: all, message: busy }];
  if (caller.kind === 'site') {
    places.push(own(`site ${caller.site}`, site, 'requests'));
    return places;
  }
  const who = `user ${caller.user.name}`;
  places.push(own(who, user, 'requests'), { name: 'users', most: users, message: busy });
  if (isRead) return places;
  places.push(own(`${who} writes`, userWrites, 'uploads'), { name: 'writes', most: writes, message: busy });
  return places;
}

function own(name: string, most: number, what: string): Wanted {
  return {
    name,
    most,
    message: `you have ${most} ${what} to the registry under way: let one of them end first`,
  };
}
