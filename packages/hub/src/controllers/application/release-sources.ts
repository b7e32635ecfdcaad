import { isDeepStrictEqual } from 'node:util';
import { type KeySource, keyOfObject, keysFromInformer } from '@selvedge/kube';
import type { ControllerContext } from '../controller-context.ts';
import { coalesced } from '../key-sources.ts';
import { namedConfigMaps } from './release-inputs.ts';
import type { ReleaseMaker } from './release-maker.ts';

/** Many Sites that get new labels are one change. */
const siteRestMilliseconds = 2_000;

/** Applications with variables that stand in the ConfigMap. */
export function keysFromConfigMaps({ informers }: ControllerContext): KeySource {
  return keysFromInformer(informers.configMaps, ({ metadata }) =>
    informers.applications
      .list(metadata.namespace)
      .filter((application) => namedConfigMaps(application).includes(metadata.name))
      .map(keyOfObject),
  );
}

/** Applications that gave no release because of overrides that meet at a site, when sites come, go or change their labels. */
export function keysFromLabels(
  { informers, clock, signal }: ControllerContext,
  maker: ReleaseMaker,
): KeySource {
  const source: KeySource = {
    synced: informers.sites.synced,
    subscribe: (enqueue) => {
      const tell = () => {
        for (const key of maker.refused) enqueue(key);
      };
      return informers.sites.onChange({
        add: tell,
        delete: tell,
        update: ({ metadata }, { metadata: before }) => {
          if (!isDeepStrictEqual(metadata.labels, before.labels)) tell();
        },
      });
    },
  };
  return coalesced(source, { clock, milliseconds: siteRestMilliseconds, signal });
}
