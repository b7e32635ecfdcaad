import type { GitSource } from '@selvedge/api';

/** What of a repository is wanted. */
export type WantedRef =
  | { readonly kind: 'default' }
  | { readonly kind: 'branch' | 'tag'; readonly name: string; readonly fullName: string }
  | { readonly kind: 'commit'; readonly commit: string };

const commitPattern = /^([0-9a-f]{40}|[0-9a-f]{64})$/;

/** Throws an Error whose message names what to do. */
export function wantedRef({ ref = {} }: Pick<GitSource, 'ref'>): WantedRef {
  const { branch, tag, commit } = ref;
  if (commit !== undefined) {
    if (!commitPattern.test(commit))
      throw new Error('ref.commit has to be a full commit: 40 or 64 hexadecimal digits');
    return { kind: 'commit', commit };
  }
  if (branch !== undefined) return named('branch', branch, 'refs/heads/');
  if (tag !== undefined) return named('tag', tag, 'refs/tags/');
  return { kind: 'default' };
}

export function isCommit(text: string): boolean {
  return commitPattern.test(text);
}

/** `main@sha1:COMMIT`; of a commit that was asked for by name `sha1:COMMIT`. */
export function revisionText(commit: string, name?: string): string {
  const exact = `${commit.length === 64 ? 'sha256' : 'sha1'}:${commit}`;
  return name === undefined ? exact : `${name}@${exact}`;
}

function named(kind: 'branch' | 'tag', name: string, prefix: string): WantedRef {
  const fault = faultOfRefName(name);
  if (fault !== undefined) throw new Error(`ref.${kind} ${fault}`);
  return { kind, name, fullName: `${prefix}${name}` };
}

/** The rules of git-check-ref-format, and no leading dash. */
export function faultOfRefName(name: string): string | undefined {
  if (name === '') return 'is empty';
  if (name.startsWith('-')) return 'must not begin with a dash';
  if (/[\p{Cc} ~^:?*[\\]/u.test(name) || name.includes('..') || name.includes('@{') || name === '@') {
    return 'holds characters that no name in git has';
  }
  if (name.split('/').some((part) => part === '' || part.startsWith('.') || part.endsWith('.lock'))) {
    return 'has an empty part, or one that begins with a dot or ends in .lock';
  }
  return name.endsWith('.') ? 'must not end with a dot' : undefined;
}
