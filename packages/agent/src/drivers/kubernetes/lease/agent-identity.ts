import { randomUUID } from 'node:crypto';
import { join } from 'node:path';
import { writeFileAtomically } from '@selvedge/api/node';
import { findFile } from '../../../state/atomic-file.ts';

/** In the state directory; never part of what is kept elsewhere of it. */
export const identityFile = 'lease-identity';

/**
 * Who this agent is for Leases: host name and a number of its state directory. After a restart it is the same; a copy of the directory on another machine, or
 * the same state in another pod, is somebody else.
 */
export async function loadLeaseIdentity(stateDir: string, hostname: string): Promise<string> {
  const path = join(stateDir, identityFile);
  const stored = (await findFile(path))?.toString('utf8').trim();
  if (stored?.startsWith(`${hostname}_`)) return stored;
  const identity = `${hostname}_${randomUUID()}`;
  await writeFileAtomically(path, `${identity}\n`);
  return identity;
}

/** Name of the Lease of a site, in the agent's namespace. */
export function leaseName(siteUid: string): string {
  return `selvedge-agent-${siteUid.slice(0, 8)}`;
}
