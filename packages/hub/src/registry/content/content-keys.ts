const hex = (digest: string): string => digest.slice('sha256:'.length);
const folder = (repository: string): string => `repositories/${repository}/`;

/** Where things are kept. No component of a repository's name starts with `_`. */
export const ContentKeys = {
  blobs: 'blobs/sha256/',
  repositories: 'repositories/',
  /** Of all repositories whose names begin with this component. */
  namespace: (namespace: string) => `repositories/${namespace}/`,
  condemnedAll: 'condemned/',
  blob: (digest: string) => `blobs/sha256/${hex(digest).slice(0, 2)}/${hex(digest)}`,
  link: (repository: string, digest: string) => `${folder(repository)}_links/${hex(digest)}`,
  links: (repository: string) => `${folder(repository)}_links/`,
  manifest: (repository: string, digest: string) => `${folder(repository)}_manifests/${hex(digest)}`,
  manifests: (repository: string) => `${folder(repository)}_manifests/`,
  tag: (repository: string, tag: string) => `${folder(repository)}_tags/${tag}`,
  tags: (repository: string) => `${folder(repository)}_tags/`,
  referrer: (repository: string, subject: string, digest: string) =>
    `${folder(repository)}_referrers/${hex(subject)}/${hex(digest)}`,
  referrers: (repository: string, subject: string) => `${folder(repository)}_referrers/${hex(subject)}/`,
  /** Nothing referred to the blob when it was looked last. */
  condemned: (digest: string) => `condemned/${hex(digest)}`,
  /** Digest by the last part of a key that has one. */
  digestOf: (key: string) => `sha256:${key.slice(key.lastIndexOf('/') + 1)}`,
  repositoryOf: (key: string): string | undefined =>
    /^repositories\/(.+?)\/_(?:links|manifests|tags)\//.exec(key)?.[1],
  isManifest: (key: string): boolean => key.includes('/_manifests/'),
  isTag: (key: string): boolean => key.includes('/_tags/'),
  isLink: (key: string): boolean => key.includes('/_links/'),
} as const;
