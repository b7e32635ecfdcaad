import { spawn, spawnSync } from 'node:child_process';
import { mkdtempSync, readdirSync, realpathSync } from 'node:fs';
import { delimiter, dirname, join } from 'node:path';
import { findTool } from '@selvedge/testkit';

export interface KubectlVersion {
  readonly path: string;
  /** As in 1.33.1. */
  readonly version: string;
  readonly minor: number;
}

/** Every kubectl of this machine, one for each minor version, oldest first: on PATH, and beside the one that runs. */
export function findKubectls(): KubectlVersion[] {
  const own = resolved(findTool('kubectl'));
  const folders = [...(process.env['PATH'] ?? '').split(delimiter), ...(own ? [dirname(own)] : [])];
  const names = folders.flatMap((folder) =>
    programsIn(folder)
      .filter((name) => /^kubectl[.-]?v?1\.\d+/.test(name))
      .map((name) => join(folder, name)),
  );
  const found = new Map<number, KubectlVersion>();
  for (const path of new Set([own, ...names.map(resolved)])) {
    const version = path === undefined ? undefined : versionOf(path);
    if (path === undefined || version === undefined) continue;
    const minor = Number(version.split('.')[1]);
    if (!found.has(minor)) found.set(minor, { path, version, minor });
  }
  return [...found.values()].sort((a, b) => a.minor - b.minor);
}

function programsIn(folder: string): string[] {
  try {
    return readdirSync(folder);
  } catch {
    return [];
  }
}

const resolved = (path: string | undefined) => (path === undefined ? undefined : realpathSync(path));

function versionOf(path: string): string | undefined {
  const { stdout } = spawnSync(path, ['version', '--client', '-o', 'json'], {
    encoding: 'utf8',
    timeout: 20_000,
  });
  return /"gitVersion": "v(\d+\.\d+\.\d+)/.exec(stdout ?? '')?.[1];
}

export interface KubectlResult {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** One kubectl with a cache and a kubeconfig of its own. */
export class Kubectl {
  /** For callers that start it by themselves. */
  readonly path: string;
  readonly env: NodeJS.ProcessEnv;

  /** The cache is made below `folder`, which the caller removes. */
  constructor(path: string, { kubeconfig, folder }: { kubeconfig: string; folder: string }) {
    const home = mkdtempSync(join(folder, 'kubectl-'));
    this.path = path;
    this.env = { ...process.env, HOME: home, KUBECACHEDIR: join(home, 'cache'), KUBECONFIG: kubeconfig };
  }

  /** Never rejects: a failure is a result. */
  async try(
    args: readonly string[],
    options: { input?: string; env?: NodeJS.ProcessEnv } = {},
  ): Promise<KubectlResult> {
    const child = spawn(this.path, args, { env: { ...this.env, ...options.env }, timeout: 60_000 });
    const output = { stdout: '', stderr: '' };
    for (const name of ['stdout', 'stderr'] as const) {
      child[name].setEncoding('utf8').on('data', (text: string) => {
        output[name] += text;
      });
    }
    child.stdin.end(options.input ?? '');
    const code = await new Promise<number | null>((resolve) => child.once('close', resolve));
    return { code, ...output };
  }

  /** What it printed. Throws with what it complained of. */
  async run(
    args: readonly string[],
    options: { input?: string; env?: NodeJS.ProcessEnv } = {},
  ): Promise<string> {
    const { code, stdout, stderr } = await this.try(args, options);
    if (code !== 0) throw new Error(`kubectl ${args.join(' ')} ended with ${code}: ${stderr}${stdout}`);
    return stdout.trim();
  }

  /** What it complained of. Throws when it had nothing to complain of. */
  async fail(
    args: readonly string[],
    options: { input?: string; env?: NodeJS.ProcessEnv } = {},
  ): Promise<string> {
    const { code, stdout, stderr } = await this.try(args, options);
    if (code === 0) throw new Error(`kubectl ${args.join(' ')} should have failed: ${stdout}`);
    return stderr.trim();
  }

  /** Starts a command that goes on until it is stopped. */
  follow(args: readonly string[]): { lines: () => string[]; stop: () => Promise<void> } {
    const child = spawn(this.path, args, { env: this.env, stdio: ['ignore', 'pipe', 'inherit'] });
    let text = '';
    child.stdout.setEncoding('utf8').on('data', (part: string) => {
      text += part;
    });
    const closed = new Promise((resolve) => child.once('close', resolve));
    return {
      lines: () =>
        text
          .trim()
          .split('\n')
          .filter((line) => line !== ''),
      stop: async () => {
        child.kill('SIGTERM');
        await closed;
      },
    };
  }
}
