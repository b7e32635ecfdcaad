import type { GitSource } from '@selvedge/api';

/** What a delivery says has happened. */
export type ForgeEvent =
  /** The forge tries whether somebody is there. */
  | { readonly kind: 'ping' }
  /** Something else than a push: issues, comments, builds. */
  | { readonly kind: 'other' }
  /** `ref` absent: it is not said what moved. */
  | { readonly kind: 'push'; readonly ref?: string };

const eventHeaders = [
  'x-forgejo-event',
  'x-gitea-event',
  'x-gogs-event',
  'x-github-event',
  'x-gitlab-event',
  'x-event-key',
];
const pushes = new Set([
  'push',
  'create',
  'delete',
  'push hook',
  'tag push hook',
  'system hook',
  'repo:push',
  'repo:refs_changed',
]);
const pings = new Set(['ping', 'diagnostics:ping']);

/** Reads a delivery whose signature is right. What is not understood counts as a push: a look too many is of no harm. */
export function readForgeEvent(header: (name: string) => string | undefined, body: Buffer): ForgeEvent {
  const name = eventHeaders
    .map(header)
    .find((value) => value !== undefined)
    ?.toLowerCase();
  if (name !== undefined && pings.has(name)) return { kind: 'ping' };
  if (name !== undefined && !pushes.has(name)) return { kind: 'other' };
  const ref = findRef(body);
  return ref === undefined ? { kind: 'push' } : { kind: 'push', ref };
}

/** Whether a push to a ref can change what a source gives. */
export function concerns({ ref = {} }: Pick<GitSource, 'ref'>, event: ForgeEvent): boolean {
  if (event.kind !== 'push' || ref.commit !== undefined) return false;
  if (event.ref === undefined) return true;
  if (ref.branch !== undefined) return event.ref === `refs/heads/${ref.branch}`;
  if (ref.tag !== undefined) return event.ref === `refs/tags/${ref.tag}`;
  // Which branch is the default one only the server knows.
  return event.ref.startsWith('refs/heads/');
}

/** Full names only: what `create` calls a ref is a short one. */
function findRef(body: Buffer): string | undefined {
  try {
    const { ref } = JSON.parse(body.toString('utf8')) as { ref?: unknown };
    return typeof ref === 'string' && ref.startsWith('refs/') ? ref : undefined;
  } catch {
    return undefined;
  }
}
