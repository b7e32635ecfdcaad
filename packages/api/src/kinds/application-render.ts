import type { OverrideTrace } from '../content/apply-override.ts';
import type { ResolveFaults } from '../content/release-resolver.ts';
import type { KubeObject } from '../object-meta.ts';
import type { SitedSecret } from './override-schemas.ts';

/** Body of `applications/NAME/render`. */
export interface RenderRequest {
  readonly spec: {
    /** Name of the Site. */
    readonly site: string;
    /** Name of a Release of the application; default its newest. */
    readonly release?: string;
  };
}

/** What a site applies of a release: the answer of `applications/NAME/render`. */
export interface ApplicationRender extends KubeObject {
  apiVersion: 'selvedge.dev/v1alpha1';
  kind: 'ApplicationRender';
  status: {
    release: string;
    digest: string;
    site: string;
    /** Of the placement. A site that is not has it only when its labels change. */
    isSelected: boolean;
    /** Names of the overrides that select the site, in their order. */
    overrides: string[];
    /** As the site applies them; values of Secrets are masked. Empty with faults. */
    manifests: KubeObject[];
    /** Which override changed what. */
    trace: OverrideTrace[];
    /** Secrets that the site adds; their values travel sealed and are not here. */
    secrets: SitedSecret[];
    /** Why the site cannot have it. */
    faults?: ResolveFaults;
  };
}
