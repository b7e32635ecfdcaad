import { isDeepStrictEqual } from 'node:util';
import {
  canonicalJson,
  type Clock,
  type KubeObject,
  type Logger,
  manifestsLimitBytes,
  type MirrorOrder,
  type MirrorReport,
  type Site,
  StatusError,
} from '@selvedge/api';
import { sha256Digest } from '@selvedge/api/node';
import type { FleetStore, SiteKey } from '@selvedge/store';
import type { AgentAuthentication } from './agent-authentication.ts';
import { checkBodyHash } from './agent-jwt.ts';
import type { Place } from './admission-control.ts';
import { type HttpExchange, parseJsonBody } from './http-exchange.ts';
import { SiteAllowance } from './site-allowance.ts';
import type { SiteStatusWriter } from './site-status.ts';

export const mirrorPrefix = '/mirror/v1/';

type MirrorStatus = NonNullable<NonNullable<Site['status']>['mirrors']>[number];

export interface SiteMirrorsOptions {
  readonly fleet: FleetStore;
  readonly authentication: AgentAuthentication;
  readonly status: SiteStatusWriter;
  readonly clock: Clock;
  readonly logger: Logger;
}

/** A site may bring so many changes at once, and then one in two seconds: it lets changes settle itself. */
const changesAtOnce = 30;
const changeSeconds = 2;

/**
 * What sites have for applications that mirror them: what they say of it stands in `Site.status.mirrors`, what it is is content. Only what was
 * ordered of a site is taken from it.
 */
export class SiteMirrors {
  readonly #o: SiteMirrorsOptions;
  readonly #allowance: SiteAllowance;
  readonly #contents: SiteAllowance;

  constructor(options: SiteMirrorsOptions) {
    this.#o = options;
    const limits = { burst: changesAtOnce, perSecond: 1 / changeSeconds };
    this.#allowance = new SiteAllowance(options.clock, limits);
    this.#contents = new SiteAllowance(options.clock, limits);
  }

  forget(site: string): void {
    this.#allowance.forget(site);
    this.#contents.forget(site);
  }

  /**
   * Resolves when what the reports say is durable. Throws `TooManyRequests`.
   * @returns uids of mirrors of which the hub has not what the site has.
   */
  async take(key: SiteKey, reports: readonly MirrorReport[]): Promise<string[]> {
    const ordered = new Set((await this.#orders(key.site)).map(({ uid }) => uid));
    const told = reports.filter(({ uid }) => ordered.has(uid));
    let allowed = false;
    const site = await this.#o.status.change(key, (present) => {
      const before = present.status?.mirrors ?? [];
      const after = merged(before, told, ordered);
      if (isDeepStrictEqual(before, after)) return undefined;
      allowed ||= this.#allowance.take(key.site, 1) > 0;
      if (!allowed) {
        throw tooOften('what the site gives to others changes too often: say it again');
      }
      return { mirrors: after.length === 0 ? null : after };
    });
    const missing: string[] = [];
    for (const { uid, digest, objects, received } of site?.status?.mirrors ?? []) {
      if (digest === '' || objects === 0 || !told.some((report) => report.uid === uid)) continue;
      if (received !== digest || !(await this.#o.fleet.hasBlob(digest))) missing.push(uid);
    }
    return missing;
  }

  /** `PUT /mirror/v1/{uid}`: answered when it is durable. Nothing is kept that the site has not said it has. */
  async handle(exchange: HttpExchange, place: Place): Promise<void> {
    const { authentication, fleet, status, logger } = this.#o;
    const agent = await authentication.authenticate(exchange.header('authorization'));
    if (this.#contents.take(agent.key.site, 1) === 0) {
      throw tooOften('the site brings content for others too often: bring it again');
    }
    const body = await place.outside(() => exchange.readBody(manifestsLimitBytes));
    checkBodyHash(agent.claims, body);
    const uid = decodeUid(exchange.path.slice(mirrorPrefix.length));
    const order = (await this.#orders(agent.key.site)).find((one) => one.uid === uid);
    if (order === undefined) {
      throw new StatusError(
        'NotFound',
        `no application ${uid.slice(0, 80)} mirrors site "${agent.key.site}"`,
      );
    }
    checkContent(body, order);
    const digest = sha256Digest(body);
    let isExpected = false;
    const look = (mirrors: readonly MirrorStatus[] = []) => {
      isExpected = mirrors.some((mirror) => mirror.uid === uid && mirror.digest === digest);
      return mirrors;
    };
    const checkExpected = () => {
      if (isExpected) return;
      throw new StatusError('Conflict', `the site has not said that it has ${digest} for this application`);
    };
    await status.change(agent.key, (present) => {
      look(present.status?.mirrors);
      return undefined;
    });
    checkExpected();
    // The content before what names it: what the Site names is there.
    await fleet.putBlob(digest, body);
    await status.change(agent.key, (present) => {
      const mirrors = look(present.status?.mirrors);
      if (!isExpected) return undefined;
      return {
        mirrors: mirrors.map((mirror) => (mirror.uid === uid ? { ...mirror, received: digest } : mirror)),
      };
    });
    checkExpected();
    // Unnamed content may be swept up at any moment; from now on it is named.
    if (!(await fleet.hasBlob(digest))) await fleet.putBlob(digest, body);
    logger.info('content of a mirror received', {
      site: agent.key.site,
      application: uid,
      bytes: body.length,
    });
    exchange.answer({ code: 204 });
  }

  async #orders(site: string): Promise<readonly MirrorOrder[]> {
    return (await this.#o.fleet.siteState(site)).policy.mirrors ?? [];
  }
}

function tooOften(text: string): StatusError {
  const details = { retryAfterSeconds: changeSeconds };
  return new StatusError('TooManyRequests', `${text} in ${changeSeconds} s`, { details });
}

/** What only says when it was seen again changes nothing. */
function merged(
  before: readonly MirrorStatus[],
  told: readonly MirrorReport[],
  ordered: ReadonlySet<string>,
): MirrorStatus[] {
  const all = new Map(before.filter(({ uid }) => ordered.has(uid)).map((mirror) => [mirror.uid, mirror]));
  for (const report of told) {
    const known = all.get(report.uid);
    const received = known?.received === undefined ? {} : { received: known.received };
    const next: MirrorStatus = { ...report, ...received };
    if (isDeepStrictEqual({ ...next, observedTime: known?.observedTime }, known)) continue;
    all.set(report.uid, next);
  }
  return [...all.values()].sort((a, b) => (a.uid < b.uid ? -1 : 1));
}

/** An agent that was taken over must not bring more than what it is asked for. Throws `BadRequest`. */
function checkContent(body: Buffer, { namespaces, kinds, secrets }: MirrorOrder): void {
  const manifests = parseJsonBody(body);
  if (!Array.isArray(manifests) || canonicalJson(manifests) !== body.toString('utf8')) {
    throw new StatusError('BadRequest', 'the content of a mirror is a list of manifests as canonical JSON');
  }
  const [first, ...others] = namespaces;
  for (const manifest of manifests as (Partial<KubeObject> | null)[]) {
    const { apiVersion, kind, metadata } = manifest ?? {};
    const namespace = metadata?.namespace;
    const isKind =
      kind === 'Secret'
        ? apiVersion === 'v1' && namespace === undefined && secrets.includes(metadata?.name ?? '')
        : kinds.some((one) => one.apiVersion === apiVersion && one.kind === kind);
    if (isKind && (namespace === undefined ? first !== undefined : others.includes(namespace))) continue;
    const what = `${String(kind)} ${namespace ?? first ?? ''}/${String(metadata?.name)}`.slice(0, 300);
    throw new StatusError('BadRequest', `the mirror was not asked for ${what}`);
  }
}

function decodeUid(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return '';
  }
}
