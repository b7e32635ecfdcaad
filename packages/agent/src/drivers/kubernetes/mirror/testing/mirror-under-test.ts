import { defaultMirrorKinds, type KubeObject, type MirrorOrder, type MirrorReport } from '@selvedge/api';
import { createLogger, systemClock } from '@selvedge/api/node';
import type { KubeAccess } from '@selvedge/kube';
import { createKubeApi } from '../../api/http-kube-api.ts';
import { createInventoryReader } from '../../inventory/inventory-reader.ts';
import { eventually } from '../../testing/kubernetes-test-site.ts';
import { createMirrorReader, type MirrorReaderOptions } from '../create-mirror-reader.ts';
import { edgeLabel } from './mirrored-manifests.ts';

export const agentNamespace = 'selvedge-system';

/** An order with what every field is when nobody says otherwise. */
export function orderOf(order: Partial<MirrorOrder> & Pick<MirrorOrder, 'namespaces'>): MirrorOrder {
  return {
    uid: 'uid-of-shop',
    selector: { matchLabels: edgeLabel },
    kinds: defaultMirrorKinds,
    secrets: [],
    // Shorter than the hub takes it.
    settleSeconds: 0.3,
    ...order,
  };
}

/** A reader of a cluster, as the driver makes it, with a way to wait for what it says. */
export class MirrorUnderTest implements AsyncDisposable {
  readonly reader: ReturnType<typeof createMirrorReader>;
  /** How often it told that something is other than before. */
  tellings = 0;
  readonly #stop = new AbortController();
  readonly #running: Promise<unknown>;
  readonly #close: () => void;

  constructor(access: KubeAccess, options: Partial<MirrorReaderOptions> = {}) {
    const clock = systemClock;
    const logger = createLogger({ level: (process.env['LOG_LEVEL'] as 'silent') ?? 'silent' });
    const api = createKubeApi({ access, clock, logger });
    const inventory = createInventoryReader({ api, clock, logger });
    this.reader = createMirrorReader({ api, clock, logger, agentNamespace, inventory, ...options });
    this.reader.onChange(() => (this.tellings += 1));
    this.#running = Promise.all([this.reader.run(this.#stop.signal), inventory.run(this.#stop.signal)]);
    this.#close = () => api.close();
  }

  /** The report of the first order, once it is as wanted. */
  async until(what: string, isRight: (report: MirrorReport) => boolean): Promise<MirrorReport> {
    const report = await eventually(
      async () => this.reader.reports()[0],
      (found) => found !== undefined && isRight(found),
      what,
    );
    return report as MirrorReport;
  }

  manifests({ uid, digest }: MirrorReport): KubeObject[] {
    const bytes = this.reader.content(uid, digest);
    if (bytes === undefined) throw new Error(`there is no content ${digest}`);
    return JSON.parse(new TextDecoder().decode(bytes)) as KubeObject[];
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#stop.abort();
    await this.#running;
    this.#close();
  }
}
