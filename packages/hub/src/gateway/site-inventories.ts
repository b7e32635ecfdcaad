import {
  type Clock,
  inventoryOfParts,
  type InventoryParts,
  inventoryParts,
  type InventoryReport,
  type Logger,
  type Site,
  type SiteInventory,
  type SiteInventoryStatus,
} from '@selvedge/api';
import { applyInventoryReport } from '@selvedge/api/node';
import type { SiteKey } from '@selvedge/store';
import { SiteAllowance } from './site-allowance.ts';
import type { SiteStatusWriter } from './site-status.ts';

/** More nodes than this are counted, not shown. */
const maxNodesShown = 200;
const maxBytesShown = 256 * 1024;
/** Of all sites whose nodes are not all shown, in memory. */
const maxNodesKept = 20_000;
/** A site may bring so many changes at once, and then one in half a minute. */
const changesAtOnce = 5;
const changeSeconds = 30;

interface Whole {
  readonly digest: string;
  readonly parts: InventoryParts;
  readonly nodes: number;
}

/**
 * What sites are made of, in `Site.status.inventory`. The Site itself is what the next difference is applied to; only of a site with more
 * nodes than are shown the whole is kept beside it, in memory: a hub that does not have it (any more) asks for all.
 */
export class SiteInventories {
  readonly #status: SiteStatusWriter;
  readonly #log: Logger;
  readonly #allowance: SiteAllowance;
  /** Per site, the one that came last stands last. */
  readonly #whole = new Map<string, Whole>();

  constructor(options: { status: SiteStatusWriter; clock: Clock; logger: Logger }) {
    this.#status = options.status;
    this.#log = options.logger;
    const limits = { burst: changesAtOnce, perSecond: 1 / changeSeconds };
    this.#allowance = new SiteAllowance(options.clock, limits);
  }

  forget(site: string): void {
    this.#allowance.forget(site);
    this.#whole.delete(site);
  }

  /**
   * Resolves when what the report brings is durable, or needs not be.
   * @param site as known in memory @returns whether the site is to send all of it: the report does not fit, or came too soon.
   */
  async take(site: Site, key: Pick<SiteKey, 'site' | 'siteUid'>, report: InventoryReport): Promise<boolean> {
    // An answer was lost, or the site only asked whether this is here.
    if ((site.status?.inventory?.digest ?? '') === report.to) return false;
    if (this.#allowance.take(key.site, 1) === 0) return true;
    let after: InventoryParts | undefined;
    await this.#status.change(key, (present) => {
      after = applyInventoryReport(this.#partsOf(key.site, present), report);
      if (after === undefined) return undefined;
      const wanted = shownInventory(inventoryOfParts(after), report);
      return { inventory: mergePatchOf(present.status?.inventory, wanted) };
    });
    if (after === undefined) {
      this.#log.debug('the inventory does not fit', { site: key.site });
      return true;
    }
    this.#keep(key.site, report.to, after);
    return false;
  }

  #partsOf(name: string, { status }: Site): InventoryParts {
    const shown = status?.inventory;
    if (shown === undefined) return {};
    const whole = this.#whole.get(name);
    if (whole?.digest === shown.digest) return whole.parts;
    const { cluster, nodes, storageClasses = [], nodeGroups = [] } = shown;
    return inventoryParts({
      ...(cluster === undefined ? {} : { cluster }),
      nodes,
      storageClasses,
      nodeGroups,
    });
  }

  #keep(name: string, digest: string, parts: InventoryParts): void {
    this.#whole.delete(name);
    const { nodes } = inventoryOfParts(parts);
    if (nodes.length === nodesShown({ nodes }).length) return;
    this.#whole.set(name, { digest, parts, nodes: nodes.length });
    let kept = [...this.#whole.values()].reduce((sum, whole) => sum + whole.nodes, 0);
    for (const [other, whole] of this.#whole) {
      if (kept <= maxNodesKept || other === name) return;
      this.#whole.delete(other);
      kept -= whole.nodes;
    }
  }
}

/** As it stands on the Site. */
function shownInventory(
  inventory: SiteInventory,
  { to, observedTime }: InventoryReport,
): SiteInventoryStatus {
  const { cluster, nodes, storageClasses, nodeGroups } = inventory;
  return structuredClone({
    digest: to,
    observedTime,
    ...(cluster === undefined ? {} : { cluster }),
    nodeCount: nodes.length,
    readyNodes: nodes.filter(({ isReady }) => isReady).length,
    nodes: nodesShown(inventory),
    ...(storageClasses.length === 0 ? {} : { storageClasses }),
    ...(nodeGroups.length === 0 ? {} : { nodeGroups }),
  }) as SiteInventoryStatus;
}

function nodesShown({ nodes }: Pick<SiteInventory, 'nodes'>): SiteInventory['nodes'] {
  let bytes = 0;
  const end = nodes.slice(0, maxNodesShown).findIndex((node) => {
    bytes += Buffer.byteLength(JSON.stringify(node));
    return bytes > maxBytesShown;
  });
  return nodes.slice(0, end < 0 ? maxNodesShown : end);
}

/** Leads from one value to another (RFC 7396): what is not there any more is null. */
function mergePatchOf(from: unknown, to: unknown): unknown {
  if (!isObject(from) || !isObject(to)) return to;
  const gone = Object.keys(from).filter((key) => !Object.hasOwn(to, key));
  return Object.fromEntries([
    ...gone.map((key): [string, null] => [key, null]),
    ...Object.entries(to).map(([key, value]): [string, unknown] => [key, mergePatchOf(from[key], value)]),
  ]);
}

function isObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
