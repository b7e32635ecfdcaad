import { isDeepStrictEqual } from 'node:util';
import { isPlaced, type Site } from '@selvedge/api';
import { keyOfName, keyOfObject, type KeySource } from '@selvedge/kube';
import type { ControllerContext } from '../controller-context.ts';
import { siteFacts } from './site-facts.ts';

/** The application of every row that changes. */
export function keysFromDeliveries({ fleet }: ControllerContext): KeySource {
  return {
    subscribe: (enqueue) =>
      fleet.onChange((change) => {
        if (change.kind !== 'delivery') return;
        const { namespace, application } = change.row;
        enqueue(keyOfName({ namespace, name: application }));
      }),
  };
}

/** Applications that select the site, as it was or as it is, when something that matters to them has changed. */
export function keysFromSites({ informers }: ControllerContext): KeySource {
  const concerned = (site: Site): string[] =>
    informers.applications
      .list()
      .filter((a) => isPlaced(a, site))
      .map(keyOfObject);
  return {
    synced: informers.sites.synced,
    subscribe: (enqueue) => {
      const tell = (site: Site) => {
        for (const key of concerned(site)) enqueue(key);
      };
      return informers.sites.onChange({
        add: tell,
        delete: tell,
        update: (site, previous) => {
          if (isDeepStrictEqual(siteFacts(site), siteFacts(previous))) return;
          tell(previous);
          tell(site);
        },
      });
    },
  };
}
