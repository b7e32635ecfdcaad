import { isObject, type JsonObject } from '../../drift/json-pointer.ts';
import { stripTemplateMetadata } from './strip-metadata.ts';
import {
  without,
  withField,
  withItems,
  withItemsThat,
  withoutDefaults,
  withoutEmpty,
} from './without-defaults.ts';

/** Where every pod has the token of its service account, by an admission plugin. */
const tokenPath = '/var/run/secrets/kubernetes.io/serviceaccount';
const tokenVolume = /^kube-api-access-[a-z0-9]{5}$|-token-[a-z0-9]{5}$/;

const podDefaults: JsonObject = {
  restartPolicy: 'Always',
  dnsPolicy: 'ClusterFirst',
  schedulerName: 'default-scheduler',
  securityContext: {},
  terminationGracePeriodSeconds: 30,
  enableServiceLinks: true,
  preemptionPolicy: 'PreemptLowerPriority',
  serviceAccountName: 'default',
};
const containerDefaults: JsonObject = {
  terminationMessagePath: '/dev/termination-log',
  terminationMessagePolicy: 'File',
  resources: {},
  securityContext: {},
};
const probeDefaults: JsonObject = {
  timeoutSeconds: 1,
  periodSeconds: 10,
  successThreshold: 1,
  failureThreshold: 3,
};
/** 0644. */
const fileMode: JsonObject = { defaultMode: 420 };

/** `spec.template` of a workload. */
export function stripPodTemplate(template: JsonObject): JsonObject {
  return withField(
    withoutEmpty(withField(template, 'metadata', stripTemplateMetadata), 'metadata'),
    'spec',
    (spec) => stripPodSpec(spec),
  );
}

/** Without the node, what admission plugins put in, and fields that only repeat the defaults. */
export function stripPodSpec(spec: JsonObject, options: { isPod?: boolean } = {}): JsonObject {
  // `serviceAccount` is the old name of `serviceAccountName`, kept alike by the API server.
  const dropped = ['nodeName', 'serviceAccount', ...(options.isPod === true ? ['priority'] : [])];
  let pod = withoutDefaults(without(spec, dropped), podDefaults);
  const injected = injectedVolumes(pod);
  pod = withItemsThat(pod, 'volumes', ({ name }) => !injected.has(name));
  pod = withItems(pod, 'volumes', stripVolume);
  if (options.isPod === true) pod = withItemsThat(pod, 'tolerations', (one) => !isInjectedToleration(one));
  for (const field of ['containers', 'initContainers', 'ephemeralContainers']) {
    pod = withItems(pod, field, (container) => stripContainer(container, injected));
  }
  return pod;
}

function injectedVolumes({ volumes }: JsonObject): ReadonlySet<unknown> {
  const all: unknown[] = Array.isArray(volumes) ? volumes : [];
  const names = all.flatMap((volume) => {
    if (!isObject(volume) || typeof volume['name'] !== 'string') return [];
    const { name } = volume;
    const isToken =
      tokenVolume.test(name) && (volume['projected'] !== undefined || volume['secret'] !== undefined);
    return isToken ? [name] : [];
  });
  return new Set(names);
}

/** DefaultTolerationSeconds adds two to each pod. */
function isInjectedToleration({ key, operator, effect, tolerationSeconds }: JsonObject): boolean {
  const isOfNode = key === 'node.kubernetes.io/not-ready' || key === 'node.kubernetes.io/unreachable';
  return isOfNode && operator === 'Exists' && effect === 'NoExecute' && tolerationSeconds === 300;
}

function stripContainer(container: JsonObject, injected: ReadonlySet<unknown>): JsonObject {
  const policy = defaultPullPolicy(container['image']);
  let stripped = withoutDefaults(container, { ...containerDefaults, imagePullPolicy: policy });
  stripped = withItemsThat(
    stripped,
    'volumeMounts',
    ({ name, mountPath }) => !(injected.has(name) && mountPath === tokenPath),
  );
  stripped = withItems(stripped, 'ports', (port) => withoutDefaults(port, { protocol: 'TCP' }));
  stripped = withItems(stripped, 'env', (variable) =>
    withField(variable, 'valueFrom', (from) => withField(from, 'fieldRef', stripFieldRef)),
  );
  for (const probe of ['livenessProbe', 'readinessProbe', 'startupProbe']) {
    stripped = withField(stripped, probe, stripProbe);
  }
  return withField(stripped, 'lifecycle', (lifecycle) =>
    withField(withField(lifecycle, 'postStart', stripHandler), 'preStop', stripHandler),
  );
}

/** As Kubernetes chooses it: what may move under its name is asked for at each start. */
function defaultPullPolicy(image: unknown): string {
  if (typeof image !== 'string') return '';
  const [named = '', digest] = image.split('@', 2);
  const last = named.slice(named.lastIndexOf('/') + 1);
  const tag = last.includes(':') ? last.slice(last.indexOf(':') + 1) : undefined;
  return (tag ?? (digest === undefined ? 'latest' : '')) === 'latest' ? 'Always' : 'IfNotPresent';
}

function stripProbe(probe: JsonObject): JsonObject {
  return stripHandler(withoutDefaults(probe, probeDefaults));
}

function stripHandler(handler: JsonObject): JsonObject {
  const stripped = withField(handler, 'httpGet', (get) =>
    withoutDefaults(get, { scheme: 'HTTP', path: '/' }),
  );
  return withField(stripped, 'grpc', (grpc) => withoutDefaults(grpc, { service: '' }));
}

const stripFieldRef = (ref: JsonObject): JsonObject => withoutDefaults(ref, { apiVersion: 'v1' });

function stripVolume(volume: JsonObject): JsonObject {
  let stripped = volume;
  for (const field of ['secret', 'configMap', 'downwardAPI', 'projected']) {
    stripped = withField(stripped, field, (source) => withoutDefaults(source, fileMode));
  }
  stripped = withField(stripped, 'hostPath', (path) => withoutDefaults(path, { type: '' }));
  stripped = withField(stripped, 'downwardAPI', stripFieldRefs);
  stripped = withField(stripped, 'projected', (projected) =>
    withItems(projected, 'sources', (source) =>
      withField(withField(source, 'downwardAPI', stripFieldRefs), 'serviceAccountToken', (token) =>
        withoutDefaults(token, { expirationSeconds: 3600 }),
      ),
    ),
  );
  return withField(stripped, 'ephemeral', (ephemeral) =>
    withField(ephemeral, 'volumeClaimTemplate', (claim) =>
      withField(
        withoutEmpty(withField(claim, 'metadata', stripTemplateMetadata), 'metadata'),
        'spec',
        (spec) => withoutDefaults(spec, { volumeMode: 'Filesystem' }),
      ),
    ),
  );
}

function stripFieldRefs(source: JsonObject): JsonObject {
  return withItems(source, 'items', (item) => withField(item, 'fieldRef', stripFieldRef));
}
