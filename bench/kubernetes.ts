import { requireCluster } from '@selvedge/testkit';
import type { Figure } from './figure.ts';
import { measureApplication } from './kubernetes/measure-application.ts';

export interface KubernetesBenchOptions {
  /** How long the idle driver is watched; requests per hour are reckoned from that. */
  readonly idleSeconds: number;
}

/** Objects of the applications that are measured, and how long each may take on two cores with nothing else on them. */
const sizes = [
  { objects: 100, mark: { atMost: 20 } },
  { objects: 1000, mark: { atMost: 120 } },
] as const;

/** What it costs to bring applications to a site's Kubernetes and to keep them there; a real kube-apiserver where KUBEBUILDER_ASSETS names one. */
export async function benchKubernetes(
  options: KubernetesBenchOptions,
  tell: (line: string) => void,
): Promise<Figure[]> {
  const { skip } = requireCluster('kube-apiserver');
  const kind = skip === false ? 'kube-apiserver' : 'our api server';
  if (skip !== false) tell(`${skip}: measured on our own API server`);
  const figures: Figure[] = [];
  for (const size of sizes) {
    tell(`${size.objects} objects on ${kind}`);
    figures.push(...(await measureApplication({ kind, ...size, ...options })));
  }
  return figures;
}
