import { isDeepStrictEqual } from 'node:util';
import {
  type Application,
  type ConfigMap,
  findForRepository,
  imageRepository,
  type KubeObject,
  type RegistryCredential,
  type Site,
} from '@selvedge/api';
import { type KeySource, keyOfObject } from '@selvedge/kube';
import type { ControllerContext } from '../controllers/controller-context.ts';
import { scopesOf } from '../credentials/open-registry-logins.ts';
import type { SecretVersionObject } from '../credentials/secret-versions-informer.ts';
import { type SourceReference, sourceReferences } from './source-spec.ts';

/** Charts that differ by site are rendered for what meets at the sites: those may change. */
export function keysOfCharts({ informers }: ControllerContext): KeySource {
  return {
    synced: informers.sites.synced,
    subscribe: (enqueue) => {
      const wake = () => {
        for (const application of informers.applications.list()) {
          const { source, overrides = [] } = application.spec;
          if (source.helm && overrides.some(({ helmValues }) => helmValues))
            enqueue(keyOfObject(application));
        }
      };
      return informers.sites.onChange({
        add: wake,
        update: (site: Site, previous: Site) => {
          if (!isDeepStrictEqual(site.metadata.labels, previous.metadata.labels)) wake();
        },
      });
    },
  };
}

/**
 * Applications whose source is read with a Secret, ConfigMap or RegistryCredential that has changed: a new password counts at once. What
 * `hurry` is told of is looked at whenever it would have been.
 */
export function keysOfReferences({ informers }: ControllerContext, hurry: (key: string) => void): KeySource {
  const { secretVersions, configMaps, registryCredentials } = informers;
  const synced = Promise.all([secretVersions.synced, configMaps.synced, registryCredentials.synced]).then(
    () => undefined,
  );
  return {
    synced,
    subscribe: (enqueue) => {
      const known = { isWhole: false };
      void synced.then(() => {
        known.isWhole = true;
      });
      const wakeAll = (namespace: string | undefined, isRead: (application: Application) => boolean) => {
        // What a hub that starts hears of was there before.
        if (!known.isWhole) return;
        for (const application of informers.applications.list(namespace)) {
          if (!isRead(application)) continue;
          const key = keyOfObject(application);
          hurry(key);
          enqueue(key);
        }
      };
      const wake = (kind: SourceReference['kind'], { metadata }: KubeObject) =>
        wakeAll(metadata.namespace, (application) =>
          sourceReferences(application).some(
            (reference) => reference.kind === kind && reference.name === metadata.name,
          ),
        );
      const onCredential = (credential: RegistryCredential) =>
        wakeAll(credential.metadata.namespace, (application) => isOpenedBy(application, credential));
      const onSecret = (secret: SecretVersionObject) => {
        wake('Secret', secret);
        for (const credential of registryCredentials.list(secret.metadata.namespace)) {
          if (credential.spec.static?.secretRef.name === secret.metadata.name) onCredential(credential);
        }
      };
      const onConfigMap = (configMap: ConfigMap) => wake('ConfigMap', configMap);
      const ends = [
        secretVersions.onChange({ add: onSecret, update: onSecret }),
        configMaps.onChange({ add: onConfigMap, update: onConfigMap }),
        registryCredentials.onChange({
          add: onCredential,
          update: (credential, previous) => {
            // Not of every token that is only renewed.
            const isOther = credential.metadata.generation !== previous.metadata.generation;
            if (isOther || (isReady(credential) && !isReady(previous))) onCredential(credential);
          },
        }),
      ];
      return () => {
        for (const end of ends) end();
      };
    },
  };
}

/** Whether the Application is read from a registry with it, by its name or for the registry's sake. */
function isOpenedBy({ spec }: Application, credential: RegistryCredential): boolean {
  const { oci, helm } = spec.source;
  if (oci?.registryCredential !== undefined) return oci.registryCredential === credential.metadata.name;
  const chart = helm?.repository?.startsWith('oci://')
    ? `${helm.repository.slice('oci://'.length).replace(/\/+$/, '')}/${helm.chart ?? ''}`
    : undefined;
  const repository = imageRepository(oci?.reference ?? chart ?? '');
  if (repository === undefined) return false;
  return findForRepository(scopesOf(credential), repository, ({ registry }) => registry) !== undefined;
}

function isReady({ status }: RegistryCredential): boolean {
  return status?.conditions?.some(({ type, status }) => type === 'Ready' && status === 'True') === true;
}
