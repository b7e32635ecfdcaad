/**
 * PostgreSQL's advisory locks that hubs take, by two numbers. They are the database's own, so one database holds one
 * Selvedge.
 */
export const advisoryLocks = {
  /** "SVDG": keeps clear of what else uses advisory locks in the database. */
  space: 0x53564447,
  /** By every transaction that takes revisions. */
  commit: 1,
  /** While the schema changes. */
  migration: 2,
  /** By the hub whose controllers run. */
  lead: 3,
  /** While old states are forgotten. */
  compaction: 4,
} as const;
