/**
 * The half of `@selvedge/api` that needs Node: digests, the system clock, the logger, files that a crash
 * leaves whole. Everything here is small and
 * has no state.
 */
export * from './application-labels.ts';
export { readTar, type TarEntry, TarError } from './archive/read-tar.ts';
export { type TarFile, writeTar } from './archive/write-tar.ts';
export * from './atomic-file.ts';
export * from './content-encoding.ts';
export * from './decompress-file.ts';
export * from './digest.ts';
export * from './inventory-delta.ts';
export * from './logger.ts';
export * from './message-stream.ts';
export * from './removal-digest.ts';
export * from './socket-for.ts';
export * from './system-clock.ts';
