import {
  type Application,
  applications,
  canonicalJson,
  type Delivery,
  deliveries,
  isMirrored,
  isPlaced,
  removalSet,
  type Site,
  sites,
} from '@selvedge/api';
import { removalDigest, sha256Digest } from '@selvedge/api/node';
import type { HttpClient } from '@selvedge/kube';
import { CommandError } from '../program/exit-code.ts';
import type { RemovalTarget } from './removal-target.ts';

/** A removal that waits, with the exact set. */
export interface HeldRemovalReport {
  readonly target: RemovalTarget;
  /** As on the command line: `till -n shop`, `site/shop-1`, `--sites`. */
  readonly title: string;
  readonly digest: string;
  readonly reason: string;
  readonly message: string;
  readonly sinceTime: string;
  /** Names in order. */
  readonly sites: readonly string[];
  /** How many have it, or are in the fleet. */
  readonly of: number;
  /** What becomes of it, in words; and what stays. */
  readonly effect: string;
  readonly stays: string;
  /** A second consent, for volumes with data, is asked for. */
  readonly volumes: boolean;
  /** Objects that carry the consent, each with the digest that it asks for. */
  readonly objects: readonly (Application | Site)[];
}

/** Throws CommandError when nothing is held there, or the set is changing this very moment. */
export async function readRemoval(client: HttpClient, target: RemovalTarget): Promise<HeldRemovalReport> {
  switch (target.kind) {
    case 'Application':
      return readOfApplication(client, target);
    case 'Site': {
      const site = await client.get<Site>(sites, { name: target.name });
      return ofSites(target, [site], await countSites(client));
    }
    case 'Sites': {
      const { items } = await client.list<Site>(sites);
      return ofSites(target, items, items.length);
    }
  }
}

async function readOfApplication(
  client: HttpClient,
  target: Extract<RemovalTarget, { kind: 'Application' }>,
): Promise<HeldRemovalReport> {
  const { namespace, name } = target;
  const application = await client.get<Application>(applications, { namespace, name });
  const held = application.status?.heldRemoval;
  if (held === undefined) throw nothingHeld(`application ${namespace}/${name}`);
  const [{ items: delivered }, { items: known }] = await Promise.all([
    client.list<Delivery>(deliveries, { namespace, labelSelector: `selvedge.dev/application=${name}` }),
    client.list<Site>(sites),
  ]);
  const setOf = (sitesOfSet: readonly string[]) =>
    removalSet(application, { sites: sitesOfSet, sinceTime: held.sinceTime });
  // What a former application of this name left is not told apart in the deliveries: there the names, or all, are the set.
  const wanted = delivered.filter(({ spec }) => spec.digest !== undefined).map(({ spec }) => spec.site);
  const names = [sitesToLeave(application, delivered, known), held.names, wanted].find(
    (candidate) => removalDigest(setOf(candidate)) === held.digest,
  );
  if (names === undefined) {
    throw new CommandError(
      `what ${namespace}/${name} is to leave is changing at this moment`,
      'Ask again in some seconds.',
    );
  }
  const set = setOf(names);
  const rest = held.of - names.length;
  return {
    target,
    title: `${name} -n ${namespace}`,
    digest: held.digest,
    reason: held.reason,
    message: held.message,
    sinceTime: held.sinceTime,
    sites: names,
    of: held.of,
    effect:
      set.policy === 'Orphan'
        ? 'It runs on at these sites, and nobody looks after it any more.'
        : `Its pods and Services end at these sites. ${
            held.volumes
              ? 'Volumes with data go too if that is approved with --volumes, and stay if not.'
              : 'Volumes with data stay.'
          }`,
    stays: rest === 0 ? 'No site keeps it.' : `${rest} of ${held.of} sites keep it.`,
    volumes: held.volumes,
    objects: [application],
  };
}

/** The same as the hub's controllers find; the digest proves it. */
export function sitesToLeave(
  application: Application,
  delivered: readonly Delivery[],
  known: readonly Site[],
): string[] {
  const { metadata } = application;
  const bySite = new Map(known.map((site) => [site.metadata.name, site]));
  const isBehind = (site: Site | undefined) =>
    site?.status?.conditions?.some((c) => c.type === 'HubBehind' && c.status === 'True') === true;
  const isToLeave = (name: string) => {
    const site = bySite.get(name);
    if (isBehind(site)) return false;
    if (metadata.deletionTimestamp !== undefined) return true;
    return site !== undefined && !isPlaced(application, site) && !isMirrored(application, site);
  };
  return delivered
    .filter((delivery) => delivery.spec.digest !== undefined)
    .map((delivery) => delivery.spec.site)
    .filter(isToLeave)
    .sort();
}

function ofSites(target: RemovalTarget, items: readonly Site[], of: number): HeldRemovalReport {
  const held = items
    .filter(({ status }) => status?.heldRemoval !== undefined)
    .sort((a, b) => (a.metadata.name < b.metadata.name ? -1 : 1));
  const first = held[0]?.status?.heldRemoval;
  if (first === undefined) throw nothingHeld(target.kind === 'Site' ? `site ${target.name}` : 'any Site');
  const since = held.map(({ status }) => status?.heldRemoval?.sinceTime ?? '').sort();
  return {
    target,
    title: target.kind === 'Site' ? `site/${target.name}` : '--sites',
    digest: target.kind === 'Site' ? first.digest : setDigest(held),
    reason: first.reason,
    message: first.message,
    sinceTime: since[0] ?? first.sinceTime,
    sites: held.map(({ metadata }) => metadata.name),
    of,
    effect:
      'They leave the fleet: the hub forgets them and refuses their agents. What runs there runs on, unattended.',
    stays: `${of - held.length} of ${of} Sites stay.`,
    volumes: false,
    objects: held,
  };
}

/**
 * Each Site is approved by itself, with the digest of the set that it was held with. Those that were held together have one;
 * of several sets this is for people alone, to say which all of them were.
 */
function setDigest(held: readonly Site[]): string {
  const digests = new Set(held.map(({ status }) => status?.heldRemoval?.digest ?? ''));
  const [only] = digests;
  if (only !== undefined && digests.size === 1) return only;
  return sha256Digest(
    canonicalJson(held.map(({ metadata, status }) => [metadata.name, status?.heldRemoval?.digest ?? ''])),
  );
}

async function countSites(client: HttpClient): Promise<number> {
  return (await client.list<Site>(sites)).items.length;
}

function nothingHeld(what: string): CommandError {
  return new CommandError(`no removal of ${what} waits`, 'selvedge removal list shows all that do.');
}
