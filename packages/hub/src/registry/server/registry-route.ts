import { DistributionError } from '../distribution-error.ts';

/** What a path below `/v2/` names. */
export type RegistryRoute =
  | { readonly kind: 'base' | 'token' | 'catalog' }
  | { readonly kind: 'manifest'; readonly repository: string; readonly reference: string }
  | { readonly kind: 'blob'; readonly repository: string; readonly digest: string }
  | { readonly kind: 'uploads'; readonly repository: string }
  | { readonly kind: 'upload'; readonly repository: string; readonly id: string }
  | { readonly kind: 'tags'; readonly repository: string }
  | { readonly kind: 'referrers'; readonly repository: string; readonly digest: string };

const longestPath = 4_096;
const longestRepository = 255;
const component = '[a-z0-9]+(?:(?:\\.|_|__|-+)[a-z0-9]+)*';
const repositoryPattern = new RegExp(`^${component}(?:/${component})+$`);
const tagPattern = /^\w[\w.-]{0,127}$/;
const digestPattern = /^sha256:[0-9a-f]{64}$/;
/** Ids of uploads; those of another registry are sealed addresses. */
const uploadPattern = /^[A-Za-z0-9_-]{1,3000}$/;

/** Reads a path, as it was sent: nothing in it is ever decoded. Throws DistributionError. */
export function readRegistryRoute(path: string): RegistryRoute {
  if (path === '/v2/' || path === '/v2') return { kind: 'base' };
  if (path === '/v2/token') return { kind: 'token' };
  if (path === '/v2/_catalog') return { kind: 'catalog' };
  const [, repository = '', kind = '', rest = ''] =
    path.length > longestPath
      ? []
      : (/^\/v2\/(.+)\/(manifests|blobs\/uploads|blobs|tags|referrers)\/([^/]*)$/.exec(path) ?? []);
  if (kind === '') throw new DistributionError('UNSUPPORTED', 'this registry has no such path');
  checkRepository(repository);
  switch (kind) {
    case 'manifests':
      if (!digestPattern.test(rest) && !tagPattern.test(rest)) throw noDigest('a tag or digest', rest);
      return { kind: 'manifest', repository, reference: rest };
    case 'blobs/uploads':
      if (rest === '') return { kind: 'uploads', repository };
      if (!uploadPattern.test(rest))
        throw new DistributionError('BLOB_UPLOAD_UNKNOWN', 'there is no such upload');
      return { kind: 'upload', repository, id: rest };
    case 'tags':
      if (rest !== 'list') throw new DistributionError('UNSUPPORTED', 'this registry has no such path');
      return { kind: 'tags', repository };
    default:
      if (!digestPattern.test(rest)) throw noDigest('a digest', rest);
      return { kind: kind === 'blobs' ? 'blob' : 'referrers', repository, digest: rest };
  }
}

/** Throws DistributionError. */
export function checkRepository(repository: string): void {
  if (repository.length <= longestRepository && repositoryPattern.test(repository)) return;
  throw new DistributionError(
    'NAME_INVALID',
    'repositories of this registry are named NAMESPACE/NAME, in lower case: HOST/shop/till:1 is the image till of the namespace shop',
  );
}

export function isDigest(text: string | undefined): text is string {
  return text !== undefined && digestPattern.test(text);
}

function noDigest(wanted: string, found: string): DistributionError {
  return new DistributionError(
    'DIGEST_INVALID',
    `${JSON.stringify(found.slice(0, 100))} is not ${wanted}; digests are sha256 here`,
  );
}
