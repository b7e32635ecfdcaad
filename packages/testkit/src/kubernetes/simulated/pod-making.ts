import { isAlreadyExists, type KubeObject } from '@selvedge/api';
import { type Simulation } from './simulation.ts';
import { ownerReference, type PodTemplate } from './workload-objects.ts';
import { pods } from './workload-resources.ts';

export interface PodWish {
  readonly owner: KubeObject;
  readonly name: string;
  readonly template: PodTemplate;
  readonly labels?: Readonly<Record<string, string>>;
  /** Instead of the template's. */
  readonly spec?: Readonly<Record<string, unknown>>;
}

/** As `GetPodFromTemplate` of pkg/controller/controller_utils.go. Another of the name is left alone. */
export async function makePod({ client }: Simulation, wish: PodWish): Promise<void> {
  const { owner, name, template, labels = {}, spec = {} } = wish;
  try {
    await client.create(pods, {
      apiVersion: 'v1',
      kind: 'Pod',
      metadata: {
        name,
        ...(owner.metadata.namespace === undefined ? {} : { namespace: owner.metadata.namespace }),
        labels: { ...template.metadata?.labels, ...labels },
        ...(template.metadata?.annotations ? { annotations: template.metadata.annotations } : {}),
        ownerReferences: [ownerReference(owner)],
      },
      spec: { ...template.spec, ...spec },
    } as KubeObject);
  } catch (error) {
    if (!isAlreadyExists(error)) throw error;
  }
}
