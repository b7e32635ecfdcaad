import { type Clock, printable } from '@selvedge/api';
import { findGood } from '../life/go-back.ts';
import { LocalActs } from '../life/local-acts.ts';
import { LocalHolds } from '../life/local-holds.ts';
import { LocalOrders } from '../life/local-orders.ts';
import type { AgentDatabase } from '../state/agent-database.ts';
import { contactPath, readContact } from '../state/contact-record.ts';
import { findMeta } from '../state/enrolment-record.ts';
import { ringLocalBell } from '../state/local-bell.ts';
import { isAgentRunning } from '../state/state-lock.ts';
import { findItem, openSite, readAccepted, readItems, shortName } from './site-directory.ts';

/** What a person at the site does. */
export interface PersonAct {
  readonly stateDir: string;
  /** `NAMESPACE/NAME` or `NAME`; absent: the whole site. */
  readonly item?: string;
  readonly reason?: string;
  /** Who says so. */
  readonly by: string;
  readonly clock: Clock;
}

/** Keeps an application, or the whole site, as it is. @returns what was done, for the person. */
export async function holdSite(act: PersonAct): Promise<string> {
  const reason = requireReason(act, 'hold');
  return onSite(act, ({ database, site, time }) => {
    const item = act.item === undefined ? undefined : findKnown(database, act.item).id;
    const holds = new LocalHolds(database);
    const before = holds.all().find((hold) => hold.item === item);
    const what = item === undefined ? `the whole site ${site}` : shortName(item);
    database.transaction(() => {
      holds.put({
        ...(item === undefined ? {} : { item }),
        reason,
        by: act.by,
        sinceTime: before?.sinceTime ?? time,
      });
      new LocalActs(database).append({
        time,
        kind: 'Hold',
        by: act.by,
        reason,
        message: `${what} is held`,
        ...(item === undefined ? {} : { item }),
      });
    });
    const again = before === undefined ? '' : ` (it was on hold already, since ${before.sinceTime})`;
    return [
      `On hold: ${what}${again}.`,
      'What runs goes on. Nothing new is activated and nothing removed here, whatever the hub says; new releases are still prepared.',
      `It ends with: selvedge-agent release ${item === undefined ? '' : `${shortName(item)} `}--state ${act.stateDir}`,
    ];
  });
}

/** Ends a hold. */
export async function releaseSite(act: PersonAct): Promise<string> {
  return onSite(act, ({ database, site, time }) => {
    const holds = new LocalHolds(database);
    const all = holds.all();
    const held = all.map((hold) => (hold.item === undefined ? 'the whole site' : shortName(hold.item)));
    // An item that is gone may still be on hold.
    const item =
      act.item === undefined
        ? undefined
        : (all.find((hold) => hold.item !== undefined && isNamed(hold.item, act.item as string))?.item ??
          findKnown(database, act.item).id);
    const what = item === undefined ? `the whole site ${site}` : shortName(item);
    if (!all.some((hold) => hold.item === item)) {
      throw new Error(
        `${what} is not on hold by a person at the site; on hold: ${held.join(', ') || 'nothing'}`,
      );
    }
    database.transaction(() => {
      holds.remove(item);
      new LocalActs(database).append({
        time,
        kind: 'Release',
        by: act.by,
        message: `${what} is no longer held`,
        ...(act.reason ? { reason: act.reason } : {}),
        ...(item === undefined ? {} : { item }),
      });
    });
    const left = holds.all().map((hold) => hold.item);
    const rest = left.map((one) => (one === undefined ? 'the whole site' : shortName(one)));
    return [
      `Released: ${what}.`,
      'What is prepared is activated as the hub wants it: at once, in the next window, or at its instant.',
      ...(rest.length === 0 ? [] : [`Still on hold: ${rest.join(', ')}.`]),
    ];
  });
}

/** Takes back what an application runs. */
export async function rollBackItem(act: PersonAct): Promise<string> {
  const reason = requireReason(act, 'rollback');
  return onSite(act, ({ database }) => {
    if (act.item === undefined) throw new Error('say which application: selvedge-agent rollback NAME');
    const accepted = readAccepted(database);
    const { id, uid, desired, memory } = findKnown(database, act.item);
    const has = (digest: string) =>
      database.find('SELECT 1 FROM content WHERE digest = ?', digest) !== undefined;
    const active = memory.active;
    if (active === undefined) throw new Error(`nothing of ${shortName(id)} was activated here yet`);
    const target = desired?.terms === undefined ? undefined : desired;
    const good = findGood({ memory, target, hasContent: has });
    if (good === undefined) {
      throw new Error(
        `${shortName(id)} runs ${active.release}, and no other release proved itself here: there is nothing to roll back to`,
      );
    }
    const orders = new LocalOrders(database);
    if (orders.open().some(({ order }) => order.item.id === id)) {
      throw new Error(
        `a rollback of ${shortName(id)} is ordered already; the agent takes it up when it runs`,
      );
    }
    orders.put({ item: { id, uid }, by: act.by, reason });
    const isNewer = target !== undefined && target.digest !== active.digest && accepted !== undefined;
    return [
      `Rolling back ${shortName(id)}: from ${active.release} to ${good.release}.`,
      `${active.release} is not tried here again until the hub begins a new rollout.`,
      ...(isNewer
        ? [
            `The hub wants ${target.release} here, which is activated as planned; to keep it off, hold ${shortName(id)}.`,
          ]
        : []),
    ];
  });
}

interface OpenSite {
  readonly database: AgentDatabase;
  readonly site: string;
  /** By the hub's clock, as well as it is known. */
  readonly time: string;
}

async function onSite(act: PersonAct, work: (open: OpenSite) => string[]): Promise<string> {
  const { database, site } = openSite(act.stateDir);
  try {
    const contact = await readContact(contactPath(act.stateDir));
    const offsetMs = contact.clockOffsetMs ?? Number(findMeta(database, 'clockOffsetMs') ?? 0);
    const time = new Date(act.clock.now().getTime() + offsetMs).toISOString();
    const lines = work({ database, site, time });
    await ringLocalBell(act.stateDir);
    const next = isAgentRunning(act.stateDir)
      ? 'The running agent takes this up within seconds, and tells the hub as soon as it can be reached.'
      : 'The agent does not run now: it takes this up when it starts, and tells the hub then.';
    return `${[...lines, next].map(printable).join('\n')}\n`;
  } finally {
    database.close();
  }
}

function requireReason({ reason }: PersonAct, command: string): string {
  const text = reason?.trim() ?? '';
  if (text === '') throw new Error(`say why: selvedge-agent ${command} --reason TEXT (the hub shows it)`);
  if (text.length > longestReason) throw new Error(`the reason is longer than ${longestReason} characters`);
  return text;
}

const longestReason = 1000;

function findKnown(database: AgentDatabase, text: string) {
  return findItem(readItems(database, readAccepted(database)), text);
}

function isNamed(id: string, text: string): boolean {
  return id === text || shortName(id) === text || id.split('/').at(-1) === text;
}
