import type { Depot } from '../../depot/depot.ts';
import type { ArtifactLayer, ArtifactRequest, ArtifactSource } from './artifact-source.ts';

/** In `needed.json` of the depot. */
const holder = 'rack';

/** Artifacts out of the site's depot, which fetches them like images of containers: resumed, verified, kept. */
export class DepotArtifacts implements ArtifactSource {
  readonly #depot: Depot;

  constructor(depot: Depot) {
    this.#depot = depot;
  }

  async bring(request: ArtifactRequest): Promise<readonly ArtifactLayer[] | undefined> {
    const { reference, architecture, ...how } = request;
    const image = await this.#depot.ensure(reference, { ...how, architectures: [architecture] });
    return image && (await this.#depot.findLayers(reference));
  }

  async setNeeded(references: readonly string[]): Promise<void> {
    await this.#depot.setNeeded(holder, references);
  }

  async doubt(reference: string): Promise<boolean> {
    return await this.#depot.doubt(reference);
  }
}
