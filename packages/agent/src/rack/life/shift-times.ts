import type { MachineRecord } from './machine-record.ts';

/** The time known here was wrong by so much: all that is compared with it, or with each other, moves. What happened before stays as it was told. */
export function shifted(record: MachineRecord, changeMs: number): MachineRecord {
  const move = <T extends string | undefined>(time: T): T =>
    (time === undefined ? time : new Date(Date.parse(time) + changeMs).toISOString()) as T;
  const { job, wish, boot, session, lastSeen, asksAgainUntil, seen, error, phaseSince } = record;
  return {
    ...record,
    phaseSince: move(phaseSince),
    ...(error && { error: { ...error, since: move(error.since) } }),
    ...(job && {
      job: {
        ...job,
        since: move(job.since),
        expectedSince: move(job.expectedSince),
        ...(job.retryAt === undefined ? {} : { retryAt: move(job.retryAt) }),
      },
    }),
    ...(wish?.notBefore && { wish: { ...wish, notBefore: move(wish.notBefore) } }),
    ...(boot && { boot: { ...boot, time: move(boot.time) } }),
    ...(session && { session: { ...session, time: move(session.time) } }),
    ...(lastSeen && { lastSeen: { ...lastSeen, time: move(lastSeen.time) } }),
    ...(asksAgainUntil && { asksAgainUntil: move(asksAgainUntil) }),
    seen: { ...record.seen, ...(seen.lastBootTime && { lastBootTime: move(seen.lastBootTime) }) },
    power: { ...record.power, observedTime: move(record.power.observedTime) },
  };
}
