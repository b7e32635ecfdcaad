import { badRequest } from '@selvedge/api';
import type { PodObject } from './pod-objects.ts';

const fields: Readonly<Record<string, (pod: PodObject) => string>> = {
  'metadata.name': (pod) => pod.metadata.name,
  'metadata.namespace': (pod) => pod.metadata.namespace,
  'spec.nodeName': (pod) => pod.spec.nodeName,
  'spec.restartPolicy': (pod) => pod.spec.restartPolicy ?? 'Always',
  'status.phase': (pod) => pod.status.phase,
  'status.podIP': (pod) => pod.status.podIP ?? '',
};

/** What `--field-selector` says of pods: `status.phase=Running,metadata.name!=web`. Throws BadRequest. */
export function parseFieldSelector(text: string): (pod: PodObject) => boolean {
  const conditions = text
    .split(',')
    .filter((part) => part.trim() !== '')
    .map(parseCondition);
  return (pod) => conditions.every((holds) => holds(pod));
}

function parseCondition(part: string): (pod: PodObject) => boolean {
  const [, name = '', operator = '', value = ''] = /^\s*([^=!]+?)\s*(==|!=|=)\s*(.*?)\s*$/.exec(part) ?? [];
  const read = fields[name];
  if (!read) {
    const known = Object.keys(fields).join(', ');
    throw badRequest(
      `field selector ${JSON.stringify(part)}: pods of a Podman site can be selected by ${known}`,
    );
  }
  return (pod) => (read(pod) === value) === (operator !== '!=');
}
