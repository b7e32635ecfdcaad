import { existsSync } from 'node:fs';
import { join } from 'node:path';
import type { DesiredItem, DesiredState, ItemReport } from '@selvedge/api';
import { AgentDatabase } from '../state/agent-database.ts';
import { contactPath, readContact } from '../state/contact-record.ts';
import { findEnrolment, findMeta } from '../state/enrolment-record.ts';

/** What the state directory tells, whether the agent runs or not, with the hub or without. */
export interface AgentStatus {
  readonly enrolled: boolean;
  readonly site?: string;
  readonly hub?: string;
  readonly hubId?: string;
  /** The hub's words, when it refused this agent's key. */
  readonly keyRefusal?: string;
  /** Of the newest desired state that was accepted. */
  readonly epoch: number;
  readonly lastContactTime?: string;
  readonly clockOffsetMs?: number;
  readonly trouble?: string;
  readonly troubleSince?: string;
  readonly items: readonly ItemStatus[];
}

export interface ItemStatus {
  readonly id: string;
  readonly uid: string;
  /** Release that is wanted; absent for what is to be removed or is no longer in the desired state. */
  readonly wantedRelease?: string;
  readonly wantedEpoch?: number;
  /** The newest report; absent before the first. Its `epoch` says of which assignment it speaks. */
  readonly report?: ItemReport;
}

/** Reads only. Throws when there is no agent's state directory at this path. */
export async function readStatus(stateDir: string): Promise<AgentStatus> {
  if (!existsSync(join(stateDir, 'agent.db'))) {
    throw new Error(
      `${stateDir} is not the state directory of an agent; give the one of "selvedge-agent run"`,
    );
  }
  const contact = await readContact(contactPath(stateDir));
  const database = AgentDatabase.openReadOnly(stateDir);
  try {
    const enrolment = findEnrolment(database);
    const accepted = JSON.parse(findMeta(database, 'accepted') ?? '{"epoch":0,"stateDigest":""}') as {
      epoch: number;
      stateDigest: string;
    };
    return {
      enrolled: enrolment !== undefined,
      ...(enrolment === undefined
        ? {}
        : { site: enrolment.site, hub: contact.hub ?? enrolment.hubs[0] ?? '', hubId: enrolment.hubId }),
      ...(enrolment?.keyRefusal === undefined ? {} : { keyRefusal: enrolment.keyRefusal }),
      epoch: accepted.epoch,
      ...(contact.lastContactTime === undefined ? {} : { lastContactTime: contact.lastContactTime }),
      ...(contact.clockOffsetMs === undefined ? {} : { clockOffsetMs: contact.clockOffsetMs }),
      ...(contact.trouble === undefined ? {} : { trouble: contact.trouble }),
      ...(contact.troubleSince === undefined ? {} : { troubleSince: contact.troubleSince }),
      items: readItems(database, accepted.stateDigest),
    };
  } finally {
    database.close();
  }
}

function readItems(database: AgentDatabase, stateDigest: string): ItemStatus[] {
  const row = database.find('SELECT body FROM states WHERE digest = ?', stateDigest);
  const desired: readonly DesiredItem[] =
    row === undefined ? [] : (JSON.parse(row['body'] as string) as DesiredState).items;
  const items = new Map<string, ItemStatus>();
  for (const item of desired) {
    items.set(`${item.id} ${item.uid}`, {
      id: item.id,
      uid: item.uid,
      wantedRelease: item.release,
      wantedEpoch: item.epoch,
    });
  }
  for (const { body } of database.all('SELECT body FROM reports')) {
    const report = JSON.parse(body as string) as ItemReport;
    const key = `${report.id} ${report.uid}`;
    items.set(key, { ...(items.get(key) ?? { id: report.id, uid: report.uid }), report });
  }
  return [...items.values()].sort((a, b) => (a.id < b.id ? -1 : 1));
}
