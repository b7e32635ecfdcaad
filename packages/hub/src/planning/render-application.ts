import {
  type Application,
  type ApplicationRender,
  badRequest,
  isObject,
  isPlaced,
  type KubeObject,
  type ObjectClient,
  type Release,
  ReleaseResolver,
  releases,
  resourceName,
  type Site,
  sites,
  StatusError,
} from '@selvedge/api';
import type { AdmissionContext, SubresourceAction } from '@selvedge/apiserver';
import type { FleetStore } from '@selvedge/store';
import { maskSecrets } from './mask-secrets.ts';

export interface RenderOptions {
  readonly client: () => ObjectClient;
  readonly fleet: FleetStore;
}

/** `applications/render`: what one site applies of a release, and which override made it so. Reads only. */
export function renderAction(options: RenderOptions): SubresourceAction {
  return {
    kind: { group: 'selvedge.dev', version: 'v1alpha1', kind: 'ApplicationRender' },
    invoke: (object, body, context) => {
      const asked = readRequest(body);
      // Values of the site are in the answer.
      requireSiteAccess(asked.site, context);
      return renderApplication(options, object as Application, asked);
    },
  };
}

interface Asked {
  readonly site: string;
  readonly release: string | undefined;
}

function readRequest(body: unknown): Asked {
  const spec = isObject(body) ? body['spec'] : undefined;
  const { site, release } = isObject(spec) ? spec : {};
  if (typeof site !== 'string' || site === '') throw badRequest('spec.site: name the Site');
  if (release !== undefined && typeof release !== 'string') {
    throw badRequest('spec.release: must be the name of a Release');
  }
  return { site, release };
}

function requireSiteAccess(name: string, { user, authorizer }: AdmissionContext): void {
  const { group, version, plural: resource } = sites;
  if (authorizer.decide(user, { verb: 'get', group, version, resource, name }).allowed) return;
  throw new StatusError(
    'Forbidden',
    `${resourceName(sites)} "${name}" is forbidden: what it applies shows its variables and labels, and user ${JSON.stringify(user.name)} may not get it`,
    { details: { name, group, kind: resource } },
  );
}

async function renderApplication(
  { client, fleet }: RenderOptions,
  application: Application,
  asked: Asked,
): Promise<ApplicationRender> {
  const { name, namespace = '' } = application.metadata;
  const site = await client().get<Site>(sites, { name: asked.site });
  const release = await getRelease(client(), application, asked.release);
  const bytes = await fleet.findBlob(release.spec.digest);
  if (bytes === undefined)
    throw badRequest(`the content of Release ${release.metadata.name} is not there any more`);
  const content = JSON.parse(new TextDecoder().decode(bytes)) as KubeObject[];
  const identity = { release: release.metadata.name, application: name, namespace };
  const resolver = new ReleaseResolver(content, identity);
  const { labels = {} } = site.metadata;
  const resolved = resolver.resolve({ name: asked.site, labels, variables: site.spec?.variables ?? {} });
  const { overrides = [], secrets = [] } = resolver.rules;
  const shown = resolved.faults ? [] : (maskSecrets(resolved.manifests, undefined, 'masked') as KubeObject[]);
  return {
    apiVersion: 'selvedge.dev/v1alpha1',
    kind: 'ApplicationRender',
    metadata: { name, namespace },
    status: {
      release: release.metadata.name,
      digest: release.spec.digest,
      site: asked.site,
      isSelected: isPlaced(application, site),
      overrides: resolver.selectedBy(labels).flatMap((index) => overrides[index]?.name ?? []),
      manifests: shown,
      trace: resolved.faults ? [] : [...resolved.trace],
      secrets: [...secrets],
      ...(resolved.faults ? { faults: resolved.faults } : {}),
    },
  };
}

async function getRelease(
  client: ObjectClient,
  { metadata, status }: Application,
  asked: string | undefined,
): Promise<Release> {
  const { name, namespace = '' } = metadata;
  const wanted = asked ?? status?.release;
  if (wanted === undefined) {
    const why =
      status?.conditions?.find(({ type }) => type === 'Released')?.message ?? 'the hub has not made one yet';
    throw badRequest(`${name} has no release: ${why}`);
  }
  const release = await client.get<Release>(releases, { namespace, name: wanted });
  if (release.spec.application === name) return release;
  throw badRequest(`Release ${wanted} is one of ${release.spec.application}, not of ${name}`);
}
