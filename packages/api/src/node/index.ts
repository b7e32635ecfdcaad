/**
 * The half of `@selvedge/api` that needs Node: digests, the system clock, the logger. Everything here is small and
 * has no state.
 */
export * from './digest.ts';
export * from './logger.ts';
export * from './system-clock.ts';
