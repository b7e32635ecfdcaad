import { spawn } from 'node:child_process';
import { constants } from 'node:fs';
import { access } from 'node:fs/promises';

export interface ScriptSignerOptions {
  /** PEM: the key. */
  readonly keyFile: string;
  /**
   * PEM: its certificate (with the extended use `codeSigning`), then those that stand above it, up to and with the root that the firmware's iPXE was built to trust: iPXE knows
   * that one by its fingerprint only.
   */
  readonly certificateFile: string;
  readonly program?: string;
}

/** Makes the detached signatures that iPXE's `imgverify` checks: CMS in DER, by the openssl program. */
export class ScriptSigner {
  readonly #o: ScriptSignerOptions;

  private constructor(options: ScriptSignerOptions) {
    this.#o = options;
  }

  /** Signs once, so that a key that does not fit is known at the start. */
  static async open(options: ScriptSignerOptions): Promise<ScriptSigner> {
    for (const file of [options.keyFile, options.certificateFile]) {
      await access(file, constants.R_OK);
    }
    const signer = new ScriptSigner(options);
    await signer.signText('#!ipxe\n');
    return signer;
  }

  signText(text: string): Promise<Buffer> {
    return this.#run([], text);
  }

  signFile(path: string): Promise<Buffer> {
    return this.#run(['-in', path]);
  }

  #run(input: readonly string[], text = ''): Promise<Buffer> {
    const { keyFile, certificateFile, program = 'openssl' } = this.#o;
    // The signer's certificate comes with the others of its file: openssl refuses to take it twice.
    const certificates = ['-signer', certificateFile, '-nocerts', '-certfile', certificateFile];
    const form = ['-binary', '-noattr', '-outform', 'DER', '-md', 'sha256'];
    const child = spawn(program, ['cms', '-sign', ...form, '-inkey', keyFile, ...certificates, ...input], {
      stdio: ['pipe', 'pipe', 'pipe'],
      timeout: 60_000,
    });
    const output: Buffer[] = [];
    let complaint = '';
    child.stdout.on('data', (piece: Buffer) => output.push(piece));
    child.stderr.on(
      'data',
      (piece: Buffer) => (complaint = (complaint + piece.toString('utf8')).slice(-1000)),
    );
    return new Promise((resolve, reject) => {
      child.once('error', (error) => reject(new Error('openssl cannot be started', { cause: error })));
      child.once('close', (code) => {
        if (code === 0) resolve(Buffer.concat(output));
        else reject(new Error(`openssl could not sign with ${keyFile}: ${complaint.trim()}`));
      });
      // A program that ended at once closes its input; its exit code says the rest.
      child.stdin.on('error', () => {});
      child.stdin.end(text);
    });
  }
}
