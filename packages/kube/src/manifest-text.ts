import type { KubeObject } from '@selvedge/api';

/** Objects as one text for `kubectl apply -f`: YAML documents, each begun by `---`. */
export async function formatManifests(objects: readonly KubeObject[]): Promise<string> {
  const { stringify } = await import('yaml');
  // No anchors for equal parts, no folded lines: read by people, and by whatever tool comes after.
  const options = { aliasDuplicateObjects: false, lineWidth: 0 };
  return objects.map((object) => `---\n${stringify(object, options)}`).join('');
}
