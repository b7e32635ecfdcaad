import { hostname } from 'node:os';
import { resolve } from 'node:path';
import { type Clock, durationHint, type Logger, parseDuration } from '@selvedge/api';
import { createLogger, systemClock } from '@selvedge/api/node';
import {
  type AuthenticationFlags,
  type AuthenticationOptions,
  resolveAuthenticationOptions,
} from './authentication-options.ts';
import type { AwsKeys } from '../credentials/ecr-token.ts';
import type { RemovalLimits } from '../removal/judge-removal.ts';
import type { EcrFlags } from './ecr-options.ts';
import { HubOptionError } from './hub-option-error.ts';
import { type PeerFlags, resolvePeerUrl } from './peer-options.ts';
import { type RegistryFlags, type RegistryOptions, resolveRegistryOptions } from './registry-options.ts';
import {
  type RegistryStorageFlags,
  type RegistryStorageOptions,
  resolveRegistryStorage,
} from './registry-storage-options.ts';
import { type RemovalFlags, resolveRemovalOptions } from './removal-options.ts';
import type { SourceHostRules } from '../sources/source-hosts.ts';
import { resolveSourceOptions, type SourceFlags } from './source-options.ts';
import { resolveStoreOptions, type StoreFlags, type StoreOptions } from './store-options.ts';
import { resolveServingOptions, type ServingFlags, type ServingOptions } from './serving-options.ts';

export { HubOptionError } from './hub-option-error.ts';

/** As on the command line; `resolveHubOptions` says what is meant. */
export interface HubOptions
  extends AuthenticationFlags,
    ServingFlags,
    StoreFlags,
    RemovalFlags,
    PeerFlags,
    RegistryFlags,
    RegistryStorageFlags,
    SourceFlags,
    EcrFlags {
  /** Data directory; made when missing. */
  readonly data: string;
  /** HOST:PORT, default 0.0.0.0:6480. Port 0: any free one. */
  readonly listen?: string;
  /** Addresses at which agents reach the hub: `https://host:port`. Default: the listen host, or the machine's name. */
  readonly advertise?: readonly string[];
  /** Longest wait of an agent's long-poll, as a duration. Default 50s. */
  readonly syncWait?: string;
  readonly logLevel?: string;
  readonly clock?: Clock;
  readonly logger?: Logger;
  readonly random?: () => number;
}

export interface ResolvedHubOptions {
  readonly authentication: AuthenticationOptions;
  readonly serving: ServingOptions;
  readonly store: StoreOptions;
  readonly removalLimits: RemovalLimits;
  readonly registries: RegistryOptions;
  readonly registryStorage: RegistryStorageOptions;
  readonly sourceHosts: SourceHostRules;
  readonly helmProgram: string | undefined;
  readonly allowsRenderNetwork: boolean;
  readonly awsKeys: AwsKeys | undefined;
  readonly dataDirectory: string;
  readonly host: string;
  readonly port: number;
  /** Empty: derived from host and the port in use. */
  readonly advertise: readonly URL[];
  /** Where other hubs on the database reach this one; absent: derived. */
  readonly peerUrl: URL | undefined;
  readonly syncWaitSeconds: number;
  /** A site that was heard of within this time is Connected: one long-poll and the way to the next. */
  readonly connectedWithinSeconds: number;
  readonly maxInWork: number;
  readonly machineName: string;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly random: () => number;
}

const logLevels = ['debug', 'info', 'warn', 'error', 'silent'];
const maxSyncWaitSeconds = 600;
const connectedGraceSeconds = 15;

/** Throws HubOptionError. */
export function resolveHubOptions(options: HubOptions): ResolvedHubOptions {
  if (options.data.trim() === '') throw new HubOptionError('--data must name a directory');
  const level = options.logLevel ?? 'info';
  if (!logLevels.includes(level)) {
    throw new HubOptionError(`--log-level must be one of ${logLevels.join(', ')}, not "${level}"`);
  }
  const syncWaitSeconds = parseSyncWait(options.syncWait ?? '50s');
  return Object.freeze({
    dataDirectory: resolve(options.data),
    authentication: resolveAuthenticationOptions(options),
    serving: resolveServingOptions(options, options.data),
    store: resolveStoreOptions(options),
    removalLimits: resolveRemovalOptions(options),
    registries: resolveRegistryOptions(options),
    registryStorage: resolveRegistryStorage(options, {
      dataDirectory: resolve(options.data),
      isShared: options.store !== undefined,
      insecureRegistries: options.insecureRegistry ?? [],
    }),
    sourceHosts: resolveSourceOptions(options),
    helmProgram: options.helmProgram,
    allowsRenderNetwork: options.allowRenderNetwork ?? false,
    awsKeys: options.awsKeys,
    ...parseListen(options.listen ?? '0.0.0.0:6480'),
    advertise: (options.advertise ?? []).map(parseAdvertise),
    peerUrl: resolvePeerUrl(options),
    syncWaitSeconds,
    connectedWithinSeconds: syncWaitSeconds + connectedGraceSeconds,
    maxInWork: 1000,
    machineName: hostname(),
    clock: options.clock ?? systemClock,
    logger: options.logger ?? createLogger({ level }),
    random: options.random ?? Math.random,
  });
}

/** Base addresses for agents, most wanted first. */
export function hubUrls(options: ResolvedHubOptions, port: number): string[] {
  if (options.advertise.length > 0) return options.advertise.map((url) => url.origin);
  return [`https://${forUrl(isWildcard(options.host) ? options.machineName : options.host)}:${port}`];
}

/** Where programs on this machine reach the hub. */
export function localUrl(options: ResolvedHubOptions, port: number): string {
  return `https://${forUrl(isWildcard(options.host) ? '127.0.0.1' : options.host)}:${port}`;
}

/** `host:port` by which the hub's own registry may be called: by what it is advertised as, and by what its certificate names. */
export function ownRegistries(options: ResolvedHubOptions, port: number): string[] {
  const advertised = hubUrls(options, port).map((url) => new URL(url).host);
  const named = certificateNames(options).map((name) => `${forUrl(name)}:${port}`);
  return [...new Set([...advertised, ...named])];
}

/** DNS names and addresses that the server certificate has to cover. */
export function certificateNames(options: ResolvedHubOptions): string[] {
  const advertised = options.advertise.map((url) => url.hostname.replace(/^\[|\]$/g, ''));
  const listened = isWildcard(options.host) ? [] : [options.host];
  return [...new Set(['localhost', '127.0.0.1', '::1', options.machineName, ...listened, ...advertised])].map(
    (name) => name.toLowerCase(),
  );
}

function parseListen(text: string): { host: string; port: number } {
  const match = /^(?:\[([0-9a-fA-F:.]+)\]|([^:[\]\s/]*)):(\d{1,5})$/.exec(text);
  const port = Number(match?.[3]);
  if (match === null || port > 65_535) {
    throw new HubOptionError(`--listen must be HOST:PORT such as 0.0.0.0:6480 or [::1]:6480, not "${text}"`);
  }
  return { host: match[1] ?? (match[2] || '0.0.0.0'), port };
}

function parseAdvertise(text: string): URL {
  const url = URL.parse(text);
  const isBase = url?.protocol === 'https:' && url.pathname === '/' && url.search === '' && url.hash === '';
  if (!isBase || url.username !== '' || url.password !== '') {
    throw new HubOptionError(
      `--advertise must be an address such as https://hub.example:6480, not "${text}"`,
    );
  }
  return url;
}

function parseSyncWait(text: string): number {
  const seconds = parseDuration(text);
  if (seconds === undefined) throw new HubOptionError(`--sync-wait ${durationHint}, not "${text}"`);
  if (seconds < 1 || seconds > maxSyncWaitSeconds) {
    throw new HubOptionError(`--sync-wait must be from 1s to 10m, not "${text}"`);
  }
  return seconds;
}

function isWildcard(host: string): boolean {
  return host === '0.0.0.0' || host === '::';
}

function forUrl(host: string): string {
  return host.includes(':') ? `[${host}]` : host;
}
