import type { MirrorReport, StatusError } from '@selvedge/api';
import { sha256Digest } from '@selvedge/api/node';

/** What a test hub has of the mirrors of its site. */
export class TestMirrors {
  /** What the site says of them, by uid of the application. */
  readonly reports = new Map<string, MirrorReport>();
  /** What it has brought, by uid. */
  readonly content = new Map<string, Buffer>();
  /** Refuses what is brought. */
  refuse: ((uid: string) => StatusError | undefined) | undefined;

  /** @returns `SyncResponse.sendMirrors`. */
  take(reports: readonly MirrorReport[]): string[] {
    for (const report of reports) this.reports.set(report.uid, report);
    return reports.filter((report) => !this.#has(report)).map(({ uid }) => uid);
  }

  /** `PUT` to this path. */
  bring(path: string, body: Buffer): void {
    const uid = path.slice(mirrorPath.length);
    const refused = this.refuse?.(uid);
    if (refused !== undefined) throw refused;
    this.content.set(uid, body);
  }

  #has({ uid, digest, objects }: MirrorReport): boolean {
    const bytes = this.content.get(uid);
    return digest === '' || objects === 0 || (bytes !== undefined && sha256Digest(bytes) === digest);
  }
}

export const mirrorPath = '/mirror/v1/';
