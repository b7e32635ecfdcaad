import type { KubeObject } from '@selvedge/api';

/**
 * What becomes of a release on a machine in memory. A test writes it into the manifests (`withOutcome`), or sets it by
 * digest in `MemoryMachine.outcomes`, where it can be changed later. All times are by the driver's clock.
 */
export interface Outcome {
  /** Default: it passes at once. `slow`: after so many seconds where something is not there yet. `fail`, `refuse`: for good. */
  readonly prepare?: 'never' | 'fail' | 'refuse' | `slow:${number}`;
  /**
   * Default: healthy at once. `after`: so many seconds after activation. `crash`: Failed at once, `crash-after`: so many
   * seconds after activation. `never`: Activating until its deadline, then Failed. `fails-after`: Degraded so many seconds
   * after it was healthy.
   */
  readonly health?: 'crash' | 'never' | `after:${number}` | `crash-after:${number}` | `fails-after:${number}`;
  /** Only there; at other sites all is well. Default: everywhere. */
  readonly sites?: readonly string[];
  /** What is to be fetched; a machine that has an image fetches it no more. */
  readonly images?: readonly { readonly name: string; readonly sizeBytes: number }[];
  readonly reason?: string;
  readonly message?: string;
  readonly logs?: readonly string[];
}

export const outcomeAnnotation = 'selvedge.test/outcome';

/** The same manifests, telling a MemoryDriver what becomes of them. */
export function withOutcome(manifests: readonly KubeObject[], outcome: Outcome): KubeObject[] {
  return manifests.map((manifest, index) => {
    if (index > 0) return manifest;
    const annotations = { ...manifest.metadata.annotations, [outcomeAnnotation]: JSON.stringify(outcome) };
    return { ...manifest, metadata: { ...manifest.metadata, annotations } };
  });
}

/** What the first manifest that says something says. */
export function outcomeOf(manifests: readonly KubeObject[]): Outcome {
  for (const { metadata } of manifests) {
    const text = metadata.annotations?.[outcomeAnnotation];
    if (text !== undefined) return JSON.parse(text) as Outcome;
  }
  return {};
}

/** What it means at one site. */
export function outcomeAt(outcome: Outcome, site: string): Outcome {
  if (outcome.sites === undefined || outcome.sites.includes(site)) return outcome;
  return outcome.images === undefined ? {} : { images: outcome.images };
}

/** `slow:5` is 5000; undefined when it is another word. */
export function millisecondsOf(text: string | undefined, word: string): number | undefined {
  const [found, seconds] = text?.split(':') ?? [];
  return found === word ? Number(seconds) * 1000 : undefined;
}
