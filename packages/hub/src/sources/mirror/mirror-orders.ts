import { isDeepStrictEqual } from 'node:util';
import {
  type Application,
  defaultMirrorKinds,
  type MirrorOrder,
  parseDuration,
  type Site,
} from '@selvedge/api';
import type { KeySource } from '@selvedge/kube';
import type { ControllerContext } from '../../controllers/controller-context.ts';

const defaultSettleSeconds = 5;

/** Whether people let nobody look into the site from here: then nothing is mirrored from it either. */
export function isClosedToMirrors({ spec }: Pick<Site, 'spec'>): boolean {
  return spec?.link === 'Disabled';
}

/** What a site is to read for applications elsewhere (`SitePolicy.mirrors`). Pure; sorted by uid. */
export function mirrorOrders(
  applications: readonly Application[],
  site: Pick<Site, 'metadata' | 'spec'>,
): MirrorOrder[] {
  if (isClosedToMirrors(site)) return [];
  return applications
    .flatMap((application) => mirrorOrder(application, site.metadata.name) ?? [])
    .sort((a, b) => (a.uid < b.uid ? -1 : 1));
}

/** What this application asks of the site; undefined: nothing. */
export function mirrorOrder({ metadata, spec }: Application, site: string): MirrorOrder | undefined {
  const { mirror } = spec.source;
  if (mirror?.site !== site || metadata.deletionTimestamp !== undefined) return undefined;
  const { namespaces, selector, kinds = defaultMirrorKinds, secrets = [], settle } = mirror;
  return {
    uid: metadata.uid ?? '',
    namespaces,
    selector,
    kinds: kinds.map(({ apiVersion, kind }) => ({ apiVersion, kind })),
    secrets,
    settleSeconds: Math.round(parseDuration(settle ?? '') ?? defaultSettleSeconds),
  };
}

/** Names of Sites whose orders may be other ones by now, as keys. */
export function keysFromMirrorOrders({ informers }: Pick<ControllerContext, 'informers'>): KeySource {
  return {
    synced: informers.applications.synced,
    subscribe: (enqueue) => {
      const tell = ({ spec }: Application) => {
        if (spec.source.mirror !== undefined) enqueue(spec.source.mirror.site);
      };
      return informers.applications.onChange({
        add: tell,
        delete: tell,
        update: (application, previous) => {
          const isSame =
            isDeepStrictEqual(application.spec.source.mirror, previous.spec.source.mirror) &&
            application.metadata.deletionTimestamp === previous.metadata.deletionTimestamp;
          if (isSame) return;
          tell(previous);
          tell(application);
        },
      });
    },
  };
}
