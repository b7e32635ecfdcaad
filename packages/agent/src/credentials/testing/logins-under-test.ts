import { mkdir, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { TestContext } from 'node:test';
import type { RegistryCredentialValue, SealedName } from '@selvedge/api';
import { FakeClock } from '@selvedge/testkit';
import { HubClock } from '../../hub-connection/hub-clock.ts';
import { SealingKeys } from '../../identity/sealing-keys.ts';
import { AgentDatabase } from '../../state/agent-database.ts';
import { listLogger } from '../../testing/test-agent.ts';
import { SealedStore } from '../sealed-store.ts';
import { KeptLogins } from '../site-logins.ts';
import { SealingHub } from './sealing-hub.ts';

const signal = new AbortController().signal;

/** Logins of a site; `listed` is what its accepted state lists. */
export async function makeLogins(t: TestContext) {
  const directory = await mkdtemp(join(tmpdir(), 'svg-logins-'));
  const keysDir = join(directory, 'keys');
  await mkdir(keysDir);
  const database = AgentDatabase.open(directory);
  t.after(async () => {
    database.close();
    await rm(directory, { recursive: true, force: true });
  });
  const clock = new FakeClock();
  const hub = new SealingHub();
  const keys = await SealingKeys.open(keysDir, 'agent.key');
  const opening = { owner: hub.owner, formerSiteUids: [], keys };
  const load = () => SealedStore.load({ database, logger: listLogger([]), ...opening });
  const store = await load();
  const hubClock = new HubClock({ clock, savedOffsetMs: 0, monotonicMs: () => clock.now().getTime() });
  const parts = { listed: [] as readonly SealedName[] };
  const logins = new KeptLogins({ store, clock: hubClock, listed: () => parts.listed });
  const keep = async (name: SealedName, value: RegistryCredentialValue) => {
    const signed = await hub.seal(name, value, { sealingKey: keys.present.publicKey });
    await store.keep(name, signed, clock.now());
  };
  const find = async (kept: readonly string[] = [], isRefused = false) => {
    logins.onKept(() => kept);
    const found = await logins.find({ namespace: 'shop', repository: 'r.example/app', isRefused, signal });
    return found?.password;
  };
  return Object.assign(parts, { clock, store, load, logins, keep, find });
}
