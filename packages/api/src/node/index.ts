/**
 * The half of `@selvedge/api` that needs Node: digests, the system clock, the logger, files that a crash
 * leaves whole. Everything here is small and
 * has no state.
 */
export * from './atomic-file.ts';
export * from './digest.ts';
export * from './logger.ts';
export * from './removal-digest.ts';
export * from './system-clock.ts';
