import { join } from 'node:path';
import type { Clock, Logger, ObjectClient } from '@selvedge/api';
import type { ArtifactRegistry } from '../sources/artifact-registry.ts';
import { openGitRepositories } from '../sources/git/git-source-repositories.ts';
import { isSourceHostRule, publicHosts, type SourceHostRules, SourceHosts } from '../sources/source-hosts.ts';
import type { SourceAccess } from '../sources/source-readers.ts';
import { HubOptionError } from './hub-option-error.ts';

/** From where applications may come, as on the command line. */
export interface SourceFlags {
  /**
   * `HOST`, `HOST:PORT` or `*.DOMAIN`, at whatever address, or `public`: every host at a public address. Default `public`; with others
   * given, `public` has to be given too for hosts that are not named.
   */
  readonly sourceHost?: readonly string[];
  /** `HOST` or `HOST:PORT` that is read from without TLS too, at whatever address. */
  readonly insecureSourceHost?: readonly string[];
  /** Default `helm`, in the PATH. */
  readonly helmProgram?: string;
  /** kustomize and helm run also where they cannot be kept from the network. Default false: they are refused there. */
  readonly allowRenderNetwork?: boolean;
}

/** Throws HubOptionError. */
export function resolveSourceOptions({
  sourceHost = [],
  insecureSourceHost = [],
}: SourceFlags): SourceHostRules {
  checkHosts('--source-host', sourceHost);
  checkHosts('--insecure-source-host', insecureSourceHost);
  return { hosts: sourceHost.length > 0 ? sourceHost : [publicHosts], insecureHosts: insecureSourceHost };
}

function checkHosts(flag: string, hosts: readonly string[]): void {
  const wrong = hosts.find((host) => !isSourceHostRule(host));
  if (wrong !== undefined) throw new HubOptionError(`${flag} must be HOST or HOST:PORT, not "${wrong}"`);
}

export function openSourceAccess(
  rules: SourceHostRules,
  context: {
    readonly dataDirectory: string;
    readonly client: ObjectClient;
    readonly artifacts: ArtifactRegistry;
    readonly helmProgram: string | undefined;
    readonly allowsRenderNetwork: boolean;
    readonly clock: Clock;
    readonly logger: Logger;
  },
): SourceAccess {
  const { dataDirectory, client, artifacts, helmProgram, allowsRenderNetwork, clock } = context;
  const cacheDirectory = join(dataDirectory, 'cache', 'sources');
  const hosts = new SourceHosts(rules);
  const logger = context.logger.child({ component: 'sources' });
  const git = openGitRepositories({
    cacheDirectory: join(cacheDirectory, 'git'),
    client,
    hosts,
    clock,
    logger,
  });
  return { cacheDirectory, hosts, git, artifacts, helmProgram, allowsRenderNetwork };
}
