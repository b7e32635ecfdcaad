import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { MachineOrder, MachineReport, RackImage, RackOrder, SecretValue } from '@selvedge/api';
import { createLogger, sha256Digest, systemClock } from '@selvedge/api/node';
import { AgentDatabase } from '../../state/agent-database.ts';
import { BootServer } from '../boot/boot-server.ts';
import type { ImageLibrary } from '../images/image-library.ts';
import { RackImageLibrary } from '../images/rack-image-library.ts';
import { ImageFolder } from '../images/testing/image-folder.ts';
import { sampleMachine, sampleRack } from '../life/testing/sample-order.ts';
import type { RackTimings } from '../life/timings.ts';
import { RackCore } from '../rack-core.ts';
import { FakeBox, type FakeBoxOptions } from './fake-box.ts';
import { TestPower } from './test-power.ts';

/** A rack without DHCP: its planner, its records on a disk, its boot server on a socket, images in a folder; BMCs in memory. */
export class TestRack {
  readonly directory: string;
  readonly folder: ImageFolder;
  readonly power = new TestPower();
  readonly secrets = new Map<string, SecretValue>();
  readonly blobs = new Map<string, Uint8Array>();
  /** MAC addresses that are known at an IP address. */
  readonly wire = new Map<string, readonly string[]>();
  order: RackOrder = sampleRack();
  timings: Partial<RackTimings> = {};
  core!: RackCore;
  news = 0;
  #server: BootServer | undefined;
  #database: AgentDatabase | undefined;
  #library: ImageLibrary | undefined;
  #port = 0;

  private constructor(directory: string) {
    this.directory = directory;
    this.folder = new ImageFolder(join(directory, 'artifacts'));
  }

  static async start(
    t: { after(work: () => Promise<void>): void },
    timings: Partial<RackTimings> = {},
  ): Promise<TestRack> {
    const directory = await mkdtemp(join(tmpdir(), 'selvedge-rack-'));
    const rack = new TestRack(directory);
    rack.timings = timings;
    for (const name of ['vmlinuz', 'initrd.img']) await writeFile(join(directory, name), name);
    await rack.open();
    t.after(async () => {
      await rack.stop();
      await rm(directory, { recursive: true, force: true });
    });
    return rack;
  }

  /** Also after `stop`: what is on the disk is all that it has. */
  async open(): Promise<void> {
    const { directory, folder, secrets, blobs, power, timings } = this;
    const logger = createLogger({ level: 'fatal' });
    const library = await RackImageLibrary.open({
      directory: join(directory, 'images'),
      artifacts: folder,
      bootFiles: directory,
      reserveBytes: 0,
      clock: systemClock,
      logger,
    });
    const database = AgentDatabase.open(directory);
    this.core = new RackCore({
      database,
      content: {
        findSecret: (id) => secrets.get(id),
        hasBlob: (digest) => blobs.has(digest),
        findBlob: (digest) => blobs.get(digest),
      },
      library,
      openPower: power.open,
      macsAt: (address) => Promise.resolve(this.wire.get(address) ?? []),
      onNews: () => {
        this.news += 1;
      },
      timings,
      clock: systemClock,
      logger,
    });
    const monotonicMs = () => performance.now();
    const server = new BootServer({
      desk: this.core.desk,
      files: library,
      clock: systemClock,
      monotonicMs,
      logger,
    });
    library.onChange(() => void this.core.imagesChanged());
    this.core.setOrder(this.order);
    library.setWanted(this.order.images, [], true);
    await this.core.start();
    await server.setListen([{ host: '127.0.0.1', port: 0 }]);
    this.#port = server.addresses()[0]?.port ?? 0;
    this.#server = server;
    this.#database = database;
    this.#library = library;
  }

  async stop(): Promise<void> {
    await this.#server?.close();
    await this.core.close();
    await this.#library?.close();
    this.#database?.close();
  }

  async restart(): Promise<void> {
    await this.stop();
    await this.open();
  }

  get url(): string {
    return `http://127.0.0.1:${this.#port}`;
  }

  box(options: FakeBoxOptions): FakeBox {
    return new FakeBox(() => this.url, options);
  }

  want(parts: Partial<RackOrder>): void {
    this.order = { ...this.order, ...parts };
    this.core.setOrder(this.order);
    this.#library?.setWanted(this.order.images, [], true);
  }

  /** Another order of one machine, of the next generation. */
  wantMachine(parts: Partial<MachineOrder>): void {
    const [machine = sampleMachine()] = this.order.machines;
    this.want({ machines: [{ ...machine, ...parts, generation: machine.generation + 1 }] });
  }

  async addImage(bytes: Uint8Array, parts: Partial<RackImage> = {}): Promise<RackImage> {
    const image = await this.folder.add(bytes, { name: 'tiny', ...parts });
    this.want({ images: [...this.order.images.filter(({ name }) => name !== image.name), image] });
    return image;
  }

  addScript(text: string): string {
    const digest = sha256Digest(text);
    this.blobs.set(digest, Buffer.from(text));
    return digest;
  }

  /** As the hub gets it; all of it is acknowledged. */
  reports(): MachineReport[] {
    const reports = this.core.machines.take(1_000_000);
    this.core.machines.acknowledge(Math.max(0, ...reports.map(({ seq }) => seq)));
    return reports;
  }

  record(key: string) {
    const record = this.core.keeper.find(key);
    if (record === undefined) throw new Error(`there is no record of ${key}`);
    return record;
  }
}
