import {
  defaultSitePolicy,
  type DesiredState,
  type ItemReport,
  type LocalHold,
  type SitePolicy,
  windowState,
  type WindowState,
} from '@selvedge/api';
import type { Verdict } from '../life/item-memory.ts';
import { LocalActs, type RecordedAct } from '../life/local-acts.ts';
import { LocalHolds } from '../life/local-holds.ts';
import { LocalOrders, type RollbackOrder } from '../life/local-orders.ts';
import type { MachineStatus } from '../rack/life/read-machines.ts';
import { AgentDatabase, versionOfActs, versionOfMachines } from '../state/agent-database.ts';
import { contactPath, readContact } from '../state/contact-record.ts';
import { findEnrolment, findMeta } from '../state/enrolment-record.ts';
import { isAgentRunning } from '../state/state-lock.ts';
import { checkStateDirectory, readAccepted, readItems } from './site-directory.ts';

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
  /** The service link is open since then. */
  readonly linkSince?: string;
  readonly linkTrouble?: string;
  /** By the site's own rules; absent before the first desired state. */
  readonly windows?: {
    readonly timeZone: string;
    readonly download: WindowState;
    readonly activate: WindowState & { readonly blackout?: string };
  };
  /** Set by the hub. */
  readonly hubHold?: string;
  /** Set by persons at the site. */
  readonly holds: readonly LocalHold[];
  readonly items: readonly ItemStatus[];
  /** What was done at the site last, the newest last. */
  readonly acts: readonly RecordedAct[];
  /** Of its rack. */
  readonly machines: readonly MachineStatus[];
  /** What a person ordered and the agent has not taken up yet. */
  readonly orders: readonly RollbackOrder[];
}

export interface ItemStatus {
  readonly id: string;
  readonly uid: string;
  /** Release that is wanted; absent for what is to be removed or is no longer in the desired state. */
  readonly wantedRelease?: string;
  readonly wantedEpoch?: number;
  /** Release that was activated here last, or that the site went back to. */
  readonly activeRelease?: string;
  readonly activatedTime?: string;
  /** The newest report; absent before the first. Its `epoch` says of which assignment it speaks. */
  readonly report?: ItemReport;
  /** What was found out here about releases: these are not tried again. The newest first. */
  readonly verdicts: readonly Verdict[];
}

const shownActs = 10;

/** Reads only. Throws when there is no agent's state directory at this path. */
export async function readStatus(stateDir: string, now: Date): Promise<AgentStatus> {
  checkStateDirectory(stateDir);
  const contact = await readContact(contactPath(stateDir));
  const database = AgentDatabase.openReadOnly(stateDir);
  try {
    const enrolment = findEnrolment(database);
    const accepted = readAccepted(database);
    const hubNow = new Date(now.getTime() + (contact.clockOffsetMs ?? 0));
    const hasActs = database.version >= versionOfActs;
    return {
      enrolled: enrolment !== undefined,
      ...(enrolment === undefined
        ? {}
        : { site: enrolment.site, hub: contact.hub ?? enrolment.hubs[0] ?? '', hubId: enrolment.hubId }),
      ...(enrolment?.keyRefusal === undefined ? {} : { keyRefusal: enrolment.keyRefusal }),
      epoch: readEpoch(database),
      ...(contact.lastContactTime === undefined ? {} : { lastContactTime: contact.lastContactTime }),
      ...(contact.clockOffsetMs === undefined ? {} : { clockOffsetMs: contact.clockOffsetMs }),
      ...(contact.trouble === undefined ? {} : { trouble: contact.trouble }),
      ...(contact.troubleSince === undefined ? {} : { troubleSince: contact.troubleSince }),
      ...(contact.linkSince === undefined || !isAgentRunning(stateDir)
        ? {}
        : { linkSince: contact.linkSince }),
      ...(contact.linkTrouble === undefined ? {} : { linkTrouble: contact.linkTrouble }),
      ...readPolicy(accepted, hubNow),
      holds: hasActs ? new LocalHolds(database).all() : [],
      items: readItemStatus(database, accepted),
      machines: await readRack(database, accepted, hubNow),
      acts: hasActs ? new LocalActs(database).recent(shownActs) : [],
      orders: hasActs ? new LocalOrders(database).open().map(({ order }) => order) : [],
    };
  } finally {
    database.close();
  }
}

/** Loaded only where there is one. */
async function readRack(
  database: AgentDatabase,
  accepted: DesiredState | undefined,
  now: Date,
): Promise<MachineStatus[]> {
  if (database.version < versionOfMachines) return [];
  if (database.find('SELECT 1 FROM machines LIMIT 1') === undefined) return [];
  const { readMachines } = await import('../rack/life/read-machines.ts');
  return readMachines(database, accepted?.policy?.rack, now);
}

function readEpoch(database: AgentDatabase): number {
  const mark = findMeta(database, 'accepted');
  return mark === undefined ? 0 : (JSON.parse(mark) as { epoch: number }).epoch;
}

function readPolicy(accepted: DesiredState | undefined, now: Date): Pick<AgentStatus, 'windows' | 'hubHold'> {
  if (accepted === undefined) return {};
  const policy = (accepted as { policy?: SitePolicy }).policy ?? defaultSitePolicy;
  const { blackout, ...activate } = windowState(policy, 'activate', now);
  const reason = blackout?.reason === undefined ? '' : ` (${blackout.reason})`;
  return {
    windows: {
      timeZone: policy.timeZone,
      download: windowState(policy, 'download', now),
      activate: {
        ...activate,
        ...(blackout === undefined ? {} : { blackout: `${blackout.from} to ${blackout.to}${reason}` }),
      },
    },
    ...(policy.hold === undefined ? {} : { hubHold: policy.hold.reason }),
  };
}

function readItemStatus(database: AgentDatabase, accepted: DesiredState | undefined): ItemStatus[] {
  const reports = new Map<string, ItemReport>();
  for (const { body } of database.all('SELECT body FROM reports')) {
    const report = JSON.parse(body as string) as ItemReport;
    reports.set(`${report.id} ${report.uid}`, report);
  }
  const items = readItems(database, accepted).map(({ id, uid, desired, memory }): ItemStatus => {
    const report = reports.get(`${id} ${uid}`);
    reports.delete(`${id} ${uid}`);
    const { active, verdicts } = memory;
    return {
      id,
      uid,
      ...(desired === undefined ? {} : { wantedRelease: desired.release, wantedEpoch: desired.epoch }),
      ...(active === undefined ? {} : { activeRelease: active.release }),
      ...(active?.activatedTime === undefined ? {} : { activatedTime: active.activatedTime }),
      ...(report === undefined ? {} : { report }),
      verdicts,
    };
  });
  for (const report of reports.values()) {
    items.push({ id: report.id, uid: report.uid, report, verdicts: [] });
  }
  return items.sort((a, b) => (a.id < b.id ? -1 : a.id > b.id ? 1 : 0));
}
