import {
  applications,
  enrollmentTokens,
  type KubeObject,
  namespaces,
  type ObjectClient,
  type ResourceRef,
  sites,
} from '@selvedge/api';
import { parseAllDocuments } from 'yaml';

const kinds: readonly ResourceRef[] = [applications, enrollmentTokens, namespaces, sites];

/** What `kubectl apply --server-side` does, for machines without kubectl. Knows the kinds of the quickstart. */
export async function applyYaml(client: ObjectClient, text: string): Promise<string> {
  const said: string[] = [];
  for (const document of parseAllDocuments(text)) {
    const object = document.toJS() as KubeObject;
    const resource = kinds.find(({ kind }) => kind === object.kind);
    if (resource === undefined)
      throw new Error(`this file holds a ${object.kind}; kubectl is needed to apply it`);
    await client.apply(resource, object, { fieldManager: 'selvedge-quickstart', force: true });
    said.push(`${resource.plural}/${object.metadata.name} applied`);
  }
  return said.join('\n');
}
