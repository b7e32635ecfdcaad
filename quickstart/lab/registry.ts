import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { getTool } from '@selvedge/testkit';
import { ChildProgram } from './child-program.ts';
import type { ProcessLedger } from './leftovers.ts';

/** Debian's docker-registry on 127.0.0.1, with its blobs in a folder of the lab. */
export class Registry {
  /** As in image names: `127.0.0.1:5000`. */
  readonly address: string;
  readonly #folder: string;
  readonly #ledger: ProcessLedger;
  #program: ChildProgram | undefined;

  constructor(folder: string, port: number, ledger: ProcessLedger) {
    this.#folder = folder;
    this.#ledger = ledger;
    this.address = `127.0.0.1:${port}`;
  }

  async start(): Promise<void> {
    await mkdir(join(this.#folder, 'blobs'), { recursive: true });
    const config = join(this.#folder, 'config.yml');
    await writeFile(
      config,
      [
        'version: 0.1',
        'log: { level: warn }',
        `storage: { filesystem: { rootdirectory: ${JSON.stringify(join(this.#folder, 'blobs'))} } }`,
        `http: { addr: ${this.address} }`,
        '',
      ].join('\n'),
    );
    const program = await ChildProgram.start({
      name: 'registry',
      command: [getTool('docker-registry'), 'serve', config],
      logFile: join(this.#folder, 'registry.log'),
      ledger: this.#ledger,
    });
    this.#program = program;
    const isUp = async () =>
      (await fetch(`http://${this.address}/v2/`).catch(() => undefined))?.ok ? true : undefined;
    await program.ready(isUp, { seconds: 30, what: `answers on ${this.address}` });
  }

  async stop(): Promise<void> {
    await this.#program?.stop();
    this.#program = undefined;
  }

  /** Digest of the image that the tag names. */
  async digestOf(repository: string, tag: string): Promise<string> {
    const accept =
      'application/vnd.oci.image.manifest.v1+json, application/vnd.docker.distribution.manifest.v2+json';
    const answer = await fetch(`http://${this.address}/v2/${repository}/manifests/${tag}`, {
      method: 'HEAD',
      headers: { accept },
    });
    const digest = answer.headers.get('docker-content-digest');
    if (!answer.ok || digest === null) {
      throw new Error(`the registry does not know ${repository}:${tag}: HTTP ${answer.status}`);
    }
    return digest;
  }
}
