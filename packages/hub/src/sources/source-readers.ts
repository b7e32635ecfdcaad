import { join } from 'node:path';
import type { Clock, ObjectClient, Site, SourceKind } from '@selvedge/api';
import type { FleetStore } from '@selvedge/store';
import type { ArtifactRegistry } from './artifact-registry.ts';
import { WorkFolders } from './folder/work-folders.ts';
import type { GitRepositories } from './git-repositories.ts';
import { ChartRepositories } from './helm/chart-repositories.ts';
import { openMirrorReader } from './mirror/mirror-source-reader.ts';
import { GitSourceReader } from './readers/git-source-reader.ts';
import { HelmSourceReader } from './readers/helm-source-reader.ts';
import { KustomizeSourceReader } from './readers/kustomize-source-reader.ts';
import { OciSourceReader } from './readers/oci-source-reader.ts';
import type { SourceHosts } from './source-hosts.ts';
import type { SourceReader } from './source-reading.ts';

export type ReadSourceKind = Exclude<SourceKind, 'inline'>;

/** A kind without a reader says `ProgramMissing`. */
export type SourceReaders = Readonly<Partial<Record<ReadSourceKind, SourceReader>>>;

/** How this hub reaches what Applications come from. */
export interface SourceAccess {
  /** For what can be thrown away; made when it is needed. */
  readonly cacheDirectory: string;
  readonly hosts: SourceHosts;
  readonly git?: GitRepositories;
  /** Absent: registries are not asked. */
  readonly artifacts?: ArtifactRegistry | undefined;
  /** Default `helm`, of the PATH. */
  readonly helmProgram?: string | undefined;
  /** Programs that render run also where they cannot be kept from the network. Default false. */
  readonly allowsRenderNetwork?: boolean;
}

export interface SourceParts {
  /** With the rights of the hub. */
  readonly client: ObjectClient;
  readonly fleet: FleetStore;
  readonly clock: Clock;
  /** All Sites, from memory. */
  readonly sites: { list(): readonly Site[]; find(name: { name: string }): Site | undefined };
}

/** The one table of readers. */
export function openSourceReaders(parts: SourceParts, access: SourceAccess): SourceReaders {
  const { client, clock } = parts;
  const { git, artifacts, hosts, helmProgram = 'helm', allowsRenderNetwork: allowsNetwork = false } = access;
  const folders = new WorkFolders(join(access.cacheDirectory, 'readings'));
  const charts = new ChartRepositories({ client, clock, hosts, artifacts });
  return {
    ...(git ? { git: new GitSourceReader({ git, folders, allowsNetwork }) } : {}),
    kustomize: new KustomizeSourceReader({ folders, allowsNetwork }),
    helm: new HelmSourceReader({
      client,
      charts,
      git,
      folders,
      sites: () => parts.sites.list(),
      program: helmProgram,
      allowsNetwork,
    }),
    ...(artifacts ? { oci: new OciSourceReader({ artifacts, folders, allowsNetwork }) } : {}),
    mirror: openMirrorReader(parts),
  };
}
