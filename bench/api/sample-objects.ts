/** The objects of the bench: 2 KB of content each, so that 10,000 of them as stored are a list of about 23 MB. */
const contentBytes = 1900;
const fieldCount = 10;

const fields = Object.fromEntries(
  Array.from({ length: fieldCount }, (_, i) => [
    `field-${i}`,
    'the quick brown fox jumps over the lazy dog '.repeat(10).slice(0, contentBytes / fieldCount),
  ]),
);

export function configMap(namespace: string, name: string): string {
  return JSON.stringify({
    apiVersion: 'v1',
    kind: 'ConfigMap',
    metadata: { name, namespace, labels: { app: 'bench' } },
    data: { round: '0', ...fields },
  });
}

/** Served by every API with a status subresource; its 2 KB are annotations. */
export function namespace(name: string): string {
  return JSON.stringify({
    apiVersion: 'v1',
    kind: 'Namespace',
    metadata: { name, labels: { app: 'bench' }, annotations: fields },
  });
}

/** The object as it was answered, with another content: what a client does that read it and changes a field. */
export function nextRound(object: string, round: number): string {
  return object.replace(/"round":"\d+"/, `"round":"${round}"`);
}

export function statusPatch(round: number): string {
  const condition = {
    type: 'Measured',
    status: 'True',
    reason: 'Round',
    message: `round ${round}`,
    lastTransitionTime: '2026-01-01T00:00:00Z',
  };
  return JSON.stringify({ status: { conditions: [condition] } });
}
