import { isDeepStrictEqual } from 'node:util';
import type { Application, KubeObject, Site } from '@selvedge/api';
import { mirrorOrderDigest } from '@selvedge/api/node';
import { keyOfObject, type KeySource } from '@selvedge/kube';
import type { ControllerContext } from '../../controllers/controller-context.ts';
import { findSourceContent, presentSource } from '../source-content.ts';
import type { SourceParts } from '../source-readers.ts';
import { SourceError, type SourceReader } from '../source-reading.ts';
import { refreshAnnotation } from '../source-spec.ts';
import { isClosedToMirrors, mirrorOrder } from './mirror-orders.ts';

type MirrorStatus = NonNullable<NonNullable<Site['status']>['mirrors']>[number];

/**
 * Reads what a mirrored site has: the site's agent has brought it (`Site.status.mirrors`, and content by its digest), so nothing goes over the
 * link here. What did not come whole, or a site that is away or cannot read, is a fault that leaves all as it was.
 */
export function openMirrorReader(parts: Pick<SourceParts, 'fleet' | 'sites'>): SourceReader {
  return {
    isWatched: true,
    findRevision: (application) => Promise.resolve().then(() => getReceived(application, parts.sites)),
    read: async (application) => {
      const revision = getReceived(application, parts.sites);
      const bytes = await parts.fleet.findBlob(revision);
      if (bytes === undefined) {
        const { site } = getMirror(application);
        throw new SourceError(
          'SourceUnavailable',
          `The hub does not have what site "${site}" sent any more; the site sends it again when it changes there, or when its agent is restarted.`,
        );
      }
      const read = JSON.parse(new TextDecoder().decode(bytes)) as KubeObject[];
      const manifests = read.map(withoutReferences);
      const before = await findSourceContent(parts.fleet, application);
      if (before !== undefined && !isAsked(application)) {
        checkNotShrunk(before.manifests, manifests, application);
      }
      return { revision, manifests };
    },
  };
}

/** Applications whose mirrored site has something new to say, or came or went. */
export function keysFromMirrors({ informers }: Pick<ControllerContext, 'informers'>): KeySource {
  return {
    synced: informers.sites.synced,
    subscribe: (enqueue) => {
      const tell = ({ metadata }: Site) => {
        for (const application of informers.applications.list()) {
          if (application.spec.source.mirror?.site === metadata.name) enqueue(keyOfObject(application));
        }
      };
      return informers.sites.onChange({
        add: tell,
        delete: tell,
        update: (site, previous) => {
          const isSame =
            isDeepStrictEqual(site.status?.mirrors, previous.status?.mirrors) &&
            isClosedToMirrors(site) === isClosedToMirrors(previous) &&
            silenceOf(site)?.reason === silenceOf(previous)?.reason;
          if (!isSame) tell(site);
        },
      });
    },
  };
}

function getMirror({ spec }: Application): { readonly site: string } {
  return spec.source.mirror ?? { site: '' };
}

/** Digest of the newest content that came whole. Throws `SourceError`. */
function getReceived(application: Application, sites: SourceParts['sites']): string {
  const { site: name } = getMirror(application);
  const site = sites.find({ name });
  if (site === undefined) {
    throw new SourceError('NotFound', `There is no Site "${name}": name one in spec.source.mirror.site.`);
  }
  if (isClosedToMirrors(site)) {
    throw new SourceError(
      'SourceUnavailable',
      `Site "${name}" lets nobody read what it has: its spec.link is Disabled. What was read before stays; set spec.link to Read to mirror it.`,
    );
  }
  const mirror = site.status?.mirrors?.find(({ uid }) => uid === application.metadata.uid);
  if (mirror === undefined) {
    throw new SourceError(
      'SourceUnavailable',
      `Site "${name}" has not said yet what it has: ${contactText(site)}.`,
    );
  }
  const order = mirrorOrder(application, name);
  if (order !== undefined && mirrorOrderDigest(order) !== mirror.order) {
    throw new SourceError(
      'SourceUnavailable',
      `Site "${name}" has not answered yet what it is asked for now: ${contactText(site)}.`,
    );
  }
  checkWhole(name, mirror);
  const known = presentSource(application)?.revision;
  const { received, digest } = mirror;
  if (received === undefined || (received !== digest && known === undefined)) {
    throw new SourceError(
      'SourceUnavailable',
      `Site "${name}" is sending its ${mirror.objects} objects: ${contactText(site)}.`,
    );
  }
  const silence = silenceOf(site);
  if (received === known && silence !== undefined) {
    throw new SourceError(
      'SourceUnavailable',
      `Site "${name}" is away since ${silence.since}: what it had then stays (${mirror.objects} objects).`,
    );
  }
  return received;
}

function checkWhole(site: string, { digest, objects, message }: MirrorStatus): void {
  if (digest === '') {
    throw new SourceError(
      'SourceUnavailable',
      `Site "${site}" cannot read it: ${message ?? 'it does not say why'}.`,
    );
  }
  if (objects > 0) return;
  const why = message ?? 'no object there has these labels in these namespaces';
  throw new SourceError(
    'SourceEmpty',
    `Site "${site}" has nothing of it: ${why}. What runs elsewhere stays; to remove it there, delete the Application.`,
  );
}

/** A person has asked for a look (`selvedge app refresh`) that was not taken yet. */
function isAsked({ metadata, status }: Application): boolean {
  const asked = metadata.annotations?.[refreshAnnotation];
  return asked !== undefined && asked !== status?.lastRefresh;
}

/**
 * A cluster that was emptied, restored or replaced may be read in the middle of it. Of what it says by mistake most would be taken away everywhere,
 * so a person is asked.
 */
function checkNotShrunk(
  before: readonly KubeObject[],
  after: readonly KubeObject[],
  { metadata, spec }: Application,
): void {
  const present = new Set(after.map(nameOf));
  const gone = before.map(nameOf).filter((name) => !present.has(name));
  if (gone.length < 2 || gone.length * 2 <= before.length) return;
  const shown = gone.slice(0, 5).join(', ') + (gone.length > 5 ? ', …' : '');
  throw new SourceError(
    'SourceShrunk',
    `At site "${spec.source.mirror?.site ?? ''}" ${gone.length} of ${before.length} objects are gone: ${shown}. Elsewhere all stays as it was; ` +
      `if they are to go there too: selvedge app refresh ${metadata.name} -n ${metadata.namespace ?? ''}`,
  );
}

const nameOf = ({ kind, metadata }: KubeObject): string =>
  [kind, ...(metadata.namespace === undefined ? [] : [metadata.namespace]), metadata.name].join('/');

function silenceOf({ status }: Site): { readonly reason: string; readonly since: string } | undefined {
  const connected = status?.conditions?.find(({ type }) => type === 'Connected');
  if (connected?.reason !== 'Away' && connected?.reason !== 'Overdue') return undefined;
  return { reason: connected.reason, since: connected.lastTransitionTime };
}

function contactText(site: Site): string {
  const silence = silenceOf(site);
  if (silence !== undefined) return `it is away since ${silence.since}`;
  const connected = site.status?.conditions?.find(({ type }) => type === 'Connected');
  return connected?.status === 'True'
    ? 'it is in touch, so that takes seconds'
    : 'its agent was never in touch';
}

/** What stands in a cluster is no text of ours: `${` in it means itself. */
function withoutReferences(manifest: KubeObject): KubeObject {
  return escapeTexts(manifest) as KubeObject;
}

function escapeTexts(value: unknown): unknown {
  if (typeof value === 'string') return value.replaceAll('${', () => '$${');
  if (Array.isArray(value)) return value.map(escapeTexts);
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(Object.entries(value).map(([name, field]) => [name, escapeTexts(field)]));
}
