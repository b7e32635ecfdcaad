import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { DepotPolicy } from '@selvedge/api';
import { createLogger, systemClock } from '@selvedge/api/node';
import { noProxy } from '../../hub-connection/proxy-settings.ts';
import { DepotError, type DepotRequest } from '../depot.ts';
import { type DepotSurroundings, SiteDepot, type SiteDepotOptions } from '../site-depot.ts';
import { ImageRegistry } from './image-registry.ts';

export type DepotChanges = Partial<Omit<SiteDepotOptions, 'surroundings'>> & {
  readonly policy?: DepotPolicy;
  readonly surroundings?: Partial<DepotSurroundings>;
};

/** A depot in a folder of its own (or an earlier one's), without hub, logins and limits unless they are given. */
export async function openTestDepot(changes: DepotChanges = {}): Promise<SiteDepot> {
  const { policy = {}, surroundings, ...options } = changes;
  return await SiteDepot.open({
    directory: options.directory ?? (await mkdtemp(join(tmpdir(), 'svg-depot-'))),
    proxies: noProxy,
    extraCas: [],
    insecureRegistries: [],
    clock: systemClock,
    logger: createLogger({ level: 'error' }),
    monotonicMs: () => performance.now(),
    // A test machine may have little space; what is tested about it is given.
    reserveBytes: 0,
    ...options,
    surroundings: {
      policy: () => policy,
      hubRegistries: () => [],
      openAtHub: async () => {
        throw new Error('there is no hub in this test');
      },
      logins: { find: async () => undefined },
      ...surroundings,
    },
  });
}

export interface StartedDepot {
  readonly registry: ImageRegistry;
  readonly directory: string;
  readonly depot: SiteDepot;
  /** An image of the registry. */
  readonly named: (name: string) => string;
}

/** A depot in a folder of its own, and a registry that it may fetch from, for one test. */
export async function startDepot(
  t: { after(work: () => Promise<void>): void },
  changes: DepotChanges = {},
): Promise<StartedDepot> {
  const registry = await ImageRegistry.start();
  const directory = await temporaryDirectory(t);
  const { insecureRegistries = [], ...others } = changes;
  const depot = await openTestDepot({
    directory,
    insecureRegistries: [registry.address, ...insecureRegistries],
    ...others,
  });
  t.after(async () => {
    await depot.close();
    await registry[Symbol.asyncDispose]();
  });
  return { registry, directory, depot, named: (name) => `${registry.address}/${name}` };
}

/** What the depot says instead of giving an image. */
export async function refusal(work: Promise<unknown>): Promise<DepotError> {
  const error = await work.then(
    () => undefined,
    (one: unknown) => one,
  );
  assert.ok(error instanceof DepotError, `a DepotError was expected, not ${String(error)}`);
  return error;
}

/** A request of an application, with everything allowed. */
export function request(changes: Partial<DepotRequest> = {}): DepotRequest {
  return { mayFetch: true, namespace: 'shop', signal: new AbortController().signal, ...changes };
}

/** A folder that is removed when the test is over. */
export async function temporaryDirectory(t: { after(work: () => Promise<void>): void }): Promise<string> {
  const directory = await mkdtemp(join(tmpdir(), 'svg-depot-'));
  t.after(() => rm(directory, { recursive: true, force: true }));
  return directory;
}
