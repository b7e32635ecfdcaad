import { systemClock } from '@selvedge/api/node';
import type { ApiUnderComparison } from './api-under-comparison.ts';

type Json = Record<string, unknown>;

/**
 * CustomResourceDefinitions for the kinds of one API group version, made from the OpenAPI document that our server
 * serves: what Kubernetes needs to serve the same kinds.
 */
export async function customResourceDefinitions(
  api: ApiUnderComparison,
  groupVersion: string,
): Promise<Json[]> {
  const document = (await api.send({ method: 'GET', path: `/openapi/v3/apis/${groupVersion}` })).body;
  const discovery = (await api.send({ method: 'GET', path: `/apis/${groupVersion}` })).body;
  const [group = '', version = ''] = groupVersion.split('/');
  const schemas = Object.values((document['components'] as { schemas: Record<string, Json> }).schemas);
  const resources = discovery['resources'] as {
    name: string;
    singularName: string;
    kind: string;
    namespaced: boolean;
    verbs: string[];
  }[];
  return resources
    .filter(({ name, verbs }) => !name.includes('/') && verbs.includes('create') && verbs.includes('watch'))
    .map(({ name: plural, singularName, kind, namespaced }) => {
      const schema = schemas.find((s) => {
        const [gvk] = (s['x-kubernetes-group-version-kind'] ?? []) as { kind: string }[];
        return gvk?.kind === kind;
      });
      const isServed = (subresource: string) =>
        resources.some(({ name }) => name === `${plural}/${subresource}`);
      return {
        apiVersion: 'apiextensions.k8s.io/v1',
        kind: 'CustomResourceDefinition',
        metadata: { name: `${plural}.${group}` },
        spec: {
          group,
          scope: namespaced ? 'Namespaced' : 'Cluster',
          names: { plural, singular: singularName, kind, listKind: `${kind}List` },
          versions: [
            {
              name: version,
              served: true,
              storage: true,
              schema: { openAPIV3Schema: structural(schema ?? {}, true) },
              subresources: {
                ...(isServed('status') ? { status: {} } : {}),
                ...(isServed('scale')
                  ? { scale: { specReplicasPath: '.spec.replicas', statusReplicasPath: '.status.replicas' } }
                  : {}),
              },
            },
          ],
        },
      };
    });
}

const dropped = new Set([
  'x-kubernetes-group-version-kind',
  'x-kubernetes-patch-merge-key',
  'x-kubernetes-patch-strategy',
  'x-kubernetes-unions',
]);

/** The schema without what a CustomResourceDefinition may not say. */
function structural(schema: Json, isRoot = false): Json {
  const result: Json = {};
  for (const [word, value] of Object.entries(schema)) {
    if (dropped.has(word)) continue;
    if (word === 'properties') result[word] = structuralProperties(value as Record<string, Json>, isRoot);
    else if (word === 'items' || (word === 'additionalProperties' && typeof value === 'object')) {
      result[word] = structural(value as Json);
    } else if (word !== 'additionalProperties') result[word] = value;
  }
  if (result['x-kubernetes-int-or-string'] === true) delete result['anyOf'];
  return result;
}

function structuralProperties(properties: Record<string, Json>, isRoot: boolean): Json {
  const own = Object.entries(properties).filter(
    ([name]) => !isRoot || !['apiVersion', 'kind', 'metadata'].includes(name),
  );
  return Object.fromEntries(own.map(([name, schema]) => [name, structural(schema)]));
}

/** Installs the kinds in a kube-apiserver and waits until it serves them. */
export async function installDefinitions(
  api: ApiUnderComparison,
  definitions: readonly Json[],
): Promise<void> {
  const path = '/apis/apiextensions.k8s.io/v1/customresourcedefinitions';
  for (const body of definitions) {
    const answer = await api.send({ method: 'POST', path, body });
    if (answer.status !== 201) throw new Error(`not installed: ${JSON.stringify(answer.body['message'])}`);
  }
  for (const definition of definitions) await untilServed(api, definition);
}

/** Writes are taken a moment after lists are. */
async function untilServed(api: ApiUnderComparison, definition: Json): Promise<void> {
  const { group, versions, names, scope } = definition['spec'] as {
    group: string;
    versions: { name: string }[];
    names: { plural: string; kind: string };
    scope: string;
  };
  const apiVersion = `${group}/${versions[0]?.name}`;
  const place = scope === 'Namespaced' ? 'namespaces/default/' : '';
  const body = { apiVersion, kind: names.kind, metadata: { name: 'probe' } };
  const contentType = 'application/apply-patch+yaml';
  const path = `/apis/${apiVersion}/${place}${names.plural}/probe?fieldManager=probe&dryRun=All`;
  const deadline = systemClock.now().getTime() + 60_000;
  for (;;) {
    const { status } = await api.send({ method: 'PATCH', path, body, contentType });
    // Refused by its schema: it is there.
    if (status === 201 || status === 422) return;
    if (systemClock.now().getTime() > deadline) throw new Error(`${apiVersion} ${names.kind} is not served`);
    await systemClock.sleep(200);
  }
}
