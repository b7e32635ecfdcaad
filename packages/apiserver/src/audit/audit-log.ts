import { type FileHandle, open, readdir, rename, rm } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import type { Logger } from '@selvedge/api';

export interface AuditLogOptions {
  /** A file, made when missing (mode 0600); '-' is standard output. */
  readonly path: string;
  /** The file is set aside before it would grow beyond this; 0: never. */
  readonly maxBytes: number;
  /** How many files that were set aside are kept; 0: all. */
  readonly maxBackups: number;
  readonly logger: Logger;
  readonly now: () => Date;
  /** Lines that wait for the disk, at most. Default: 16 MiB. */
  readonly maxBufferedBytes?: number;
}

const defaultMaxBufferedBytes = 16 * 1024 * 1024;
/** Longest silence about a log that cannot be written. */
const complainEveryMs = 60_000;

/**
 * Lines of the audit log on their way to a file. Writing never waits: what the disk does not take in time is kept up to
 * a bound, then dropped, counted and complained of. Nothing is synced: a power cut may take the last second.
 */
export class AuditLog {
  readonly #o: AuditLogOptions;
  readonly #maxBufferedBytes: number;
  #file: FileHandle | undefined;
  #fileBytes = 0;
  #buffer: string[] = [];
  #bufferedBytes = 0;
  #writing: Promise<void> | undefined;
  #mustReopen = false;
  #dropped = 0;
  #lastComplaint = Number.NEGATIVE_INFINITY;

  private constructor(options: AuditLogOptions) {
    this.#o = options;
    this.#maxBufferedBytes = options.maxBufferedBytes ?? defaultMaxBufferedBytes;
  }

  /** Rejects when the file cannot be opened now. */
  static async open(options: AuditLogOptions): Promise<AuditLog> {
    const log = new AuditLog(options);
    await log.#open();
    return log;
  }

  /** Lines that were given up. */
  get dropped(): number {
    return this.#dropped;
  }

  /** One line, without its end. */
  write(line: string): void {
    const bytes = Buffer.byteLength(line) + 1;
    if (this.#bufferedBytes + bytes > this.#maxBufferedBytes) {
      this.#drop(1);
      return;
    }
    this.#buffer.push(line);
    this.#bufferedBytes += bytes;
    this.#writing ??= this.#flush();
  }

  /** Opens the file anew before the next line: somebody else has moved it away. */
  reopen(): void {
    this.#mustReopen = true;
  }

  /** Resolves when what was written before is in the file, or given up. */
  async flushed(): Promise<void> {
    await this.#writing;
  }

  async close(): Promise<void> {
    await this.#writing;
    await this.#file?.close();
    this.#file = undefined;
  }

  async #flush(): Promise<void> {
    // What comes in the same turn goes in one write.
    await new Promise((resolve) => setImmediate(resolve));
    while (this.#buffer.length > 0) {
      const lines = this.#buffer;
      const bytes = Buffer.from(`${lines.join('\n')}\n`);
      this.#buffer = [];
      try {
        await this.#write(bytes);
      } catch (error) {
        this.#drop(lines.length, error);
        await this.#giveUpFile();
      }
      this.#bufferedBytes -= bytes.length;
    }
    this.#writing = undefined;
  }

  async #write(bytes: Buffer): Promise<void> {
    const { path, maxBytes } = this.#o;
    if (path === '-') {
      await new Promise<void>((resolve, reject) => {
        process.stdout.write(bytes, (error) => (error ? reject(error) : resolve()));
      });
      return;
    }
    if (this.#mustReopen) await this.#giveUpFile();
    this.#mustReopen = false;
    if (!this.#file) await this.#open();
    if (maxBytes > 0 && this.#fileBytes > 0 && this.#fileBytes + bytes.length > maxBytes)
      await this.#rotate();
    await this.#file?.appendFile(bytes);
    this.#fileBytes += bytes.length;
  }

  async #open(): Promise<void> {
    if (this.#o.path === '-') return;
    this.#file = await open(this.#o.path, 'a', 0o600);
    this.#fileBytes = (await this.#file.stat()).size;
  }

  async #giveUpFile(): Promise<void> {
    const file = this.#file;
    this.#file = undefined;
    await file?.close().catch(() => {});
  }

  async #rotate(): Promise<void> {
    const { path, now } = this.#o;
    await this.#giveUpFile();
    // As lumberjack, kube-apiserver's: NAME-TIME.EXTENSION, which sorts by age.
    const [, stem = path, extension = ''] = /^(.*?)(\.[^./]*)?$/s.exec(path) ?? [];
    await rename(path, `${stem}-${now().toISOString().replace(/[:.]/g, '-')}${extension}`);
    await this.#open();
    await this.#removeOldest(stem, extension);
  }

  async #removeOldest(stem: string, extension: string): Promise<void> {
    const { path, maxBackups } = this.#o;
    if (maxBackups === 0) return;
    const directory = dirname(path);
    const prefix = `${basename(stem)}-`;
    const isBackup = (name: string) =>
      name.startsWith(prefix) &&
      /^\d{4}-[\d-]+T[\d-]+Z$/.test(name.slice(prefix.length, name.length - extension.length)) &&
      name.endsWith(extension);
    const backups = (await readdir(directory)).filter(isBackup).sort();
    for (const name of backups.slice(0, -maxBackups)) await rm(join(directory, name), { force: true });
  }

  #drop(count: number, error?: unknown): void {
    this.#dropped += count;
    const now = performance.now();
    if (now - this.#lastComplaint < complainEveryMs) return;
    this.#lastComplaint = now;
    const why = error instanceof Error ? error.message : 'the disk is too slow';
    this.#o.logger.error('audit events dropped', { path: this.#o.path, dropped: this.#dropped, error: why });
  }
}
