import { spawnSync } from 'node:child_process';
import { mkdirSync } from 'node:fs';
import { getTool } from '../require-tool.ts';

/** What stands at a path: a text, or something that is no ordinary file. */
export type CommittedFile = string | Buffer | { readonly link: string } | { readonly submodule: string };

export interface CommitOptions {
  /** Default main. */
  readonly branch?: string;
  /** Paths that go; default none. */
  readonly remove?: readonly string[];
  /** The commit has no parent: what was there before is gone, as after a forced push. */
  readonly isForced?: boolean;
}

/** A bare repository on this machine, written without a work tree. */
export class GitRepository {
  readonly folder: string;

  /** @param folder made; ends in .git as a rule. */
  constructor(folder: string, { objectFormat = 'sha1' }: { objectFormat?: 'sha1' | 'sha256' } = {}) {
    this.folder = folder;
    mkdirSync(folder, { recursive: true });
    this.git('init', '--quiet', '--bare', '--initial-branch=main', `--object-format=${objectFormat}`, '.');
    // What forges allow: single files, and commits that are no head of a branch.
    for (const key of ['uploadpack.allowFilter', 'uploadpack.allowAnySHA1InWant', 'http.receivepack']) {
      this.git('config', key, 'true');
    }
  }

  /** Adds a commit; returns its name. */
  commit(files: Readonly<Record<string, CommittedFile>>, options: CommitOptions = {}): string {
    const { branch = 'main', remove = [], isForced = false } = options;
    const parent = isForced ? '' : this.find(`refs/heads/${branch}`);
    const parts: (string | Buffer)[] = [
      `reset refs/heads/${branch}\n`,
      `commit refs/heads/${branch}\ncommitter Test <test@example.invalid> 1700000000 +0000\ndata 4\ntest\n`,
      parent === '' ? '' : `from ${parent}\n`,
      ...remove.map((path) => `D ${path}\n`),
    ];
    for (const [path, file] of Object.entries(files)) parts.push(...change(path, file));
    const input = Buffer.concat(parts.map((part) => Buffer.from(part)));
    this.git({ input }, 'fast-import', '--quiet', '--force');
    return this.find(`refs/heads/${branch}`);
  }

  /** Makes or moves a tag with a message of its own. */
  tag(name: string, commit: string): void {
    this.git('tag', '--force', '--annotate', '--message=test', name, commit);
  }

  /** The object that a name stands for; empty: none. */
  find(name: string): string {
    return this.#run(['rev-parse', '--quiet', '--verify', name], {}).stdout.trim();
  }

  /** Output of a command of git in this repository; throws with git's words. */
  git(...args: string[] | [{ input: Buffer }, ...string[]]): string {
    const [first, ...rest] = args;
    const options = typeof first === 'object' ? first : {};
    const words = typeof first === 'object' ? (rest as string[]) : (args as string[]);
    const done = this.#run(words, options);
    if (done.status !== 0) throw new Error(`git ${words.join(' ')}: ${done.stderr}`);
    return done.stdout;
  }

  #run(args: readonly string[], { input }: { input?: Buffer }) {
    const done = spawnSync(getTool('git'), args, {
      cwd: this.folder,
      encoding: 'utf8',
      env: plainGitEnvironment(),
      ...(input === undefined ? {} : { input }),
    });
    return { status: done.status, stdout: done.stdout, stderr: done.stderr };
  }
}

/** For git as a test uses it: nobody's configuration, one fixed author. */
export function plainGitEnvironment(): Record<string, string> {
  return {
    PATH: process.env['PATH'] ?? '',
    LC_ALL: 'C',
    HOME: '/nonexistent',
    GIT_CONFIG_NOSYSTEM: '1',
    GIT_CONFIG_GLOBAL: '/dev/null',
    GIT_TERMINAL_PROMPT: '0',
    GIT_AUTHOR_NAME: 'Test',
    GIT_AUTHOR_EMAIL: 'test@example.invalid',
    GIT_COMMITTER_NAME: 'Test',
    GIT_COMMITTER_EMAIL: 'test@example.invalid',
  };
}

function change(path: string, file: CommittedFile): (string | Buffer)[] {
  if (typeof file === 'object' && 'submodule' in file) return [`M 160000 ${file.submodule} ${path}\n`];
  const isLink = typeof file === 'object' && 'link' in file;
  const content = Buffer.from(isLink ? file.link : file);
  return [`M ${isLink ? '120000' : '100644'} inline ${path}\ndata ${content.length}\n`, content, '\n'];
}
