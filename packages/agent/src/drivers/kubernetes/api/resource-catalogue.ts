import { isNotFound } from '@selvedge/api';
import type { ApiResource } from './kube-api.ts';

interface ResourceList {
  readonly resources?: readonly {
    readonly name: string;
    readonly kind: string;
    readonly namespaced: boolean;
    readonly verbs?: readonly string[];
  }[];
}

/**
 * What the API serves, asked for by group and version as they come into use: a cluster may have hundreds of kinds of which a site
 * needs ten, so the whole of its discovery would be megabytes for nothing.
 */
export class ResourceCatalogue {
  readonly #get: (path: string) => Promise<unknown>;
  /** By apiVersion, then kind. A version that is not served is not remembered. */
  readonly #known = new Map<string, Promise<ReadonlyMap<string, ApiResource>>>();

  constructor(get: (path: string) => Promise<unknown>) {
    this.#get = get;
  }

  async find(apiVersion: string, kind: string, isRefresh: boolean): Promise<ApiResource | undefined> {
    const known = isRefresh ? undefined : await this.#known.get(apiVersion)?.catch(() => undefined);
    if (known !== undefined) return known.get(kind);
    const asked = this.#ask(apiVersion);
    this.#known.set(apiVersion, asked);
    const forget = () => {
      if (this.#known.get(apiVersion) === asked) this.#known.delete(apiVersion);
    };
    asked.then((resources) => resources.size === 0 && forget(), forget);
    return (await asked).get(kind);
  }

  async #ask(apiVersion: string): Promise<ReadonlyMap<string, ApiResource>> {
    const [group, version] = apiVersion.includes('/') ? apiVersion.split('/', 2) : ['', apiVersion];
    const path = apiVersion.includes('/')
      ? `/apis/${encodeURI(apiVersion)}`
      : `/api/${encodeURI(apiVersion)}`;
    let list: ResourceList;
    try {
      list = (await this.#get(path)) as ResourceList;
    } catch (error) {
      if (!isNotFound(error)) throw error;
      list = {};
    }
    const resources = new Map<string, ApiResource>();
    for (const { name, kind, namespaced, verbs = [] } of list.resources ?? []) {
      if (name.includes('/')) continue;
      resources.set(kind, {
        group: group ?? '',
        version: version ?? '',
        plural: name,
        kind,
        namespaced,
        verbs,
      });
    }
    return resources;
  }
}
