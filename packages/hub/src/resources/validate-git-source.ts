import { type FieldError, fieldInvalid, type GitSource } from '@selvedge/api';
import { faultOfGitUrl } from '../sources/git/git-address.ts';
import { faultOfRefName } from '../sources/git/git-ref.ts';
import { validateInterval } from './validate-interval.ts';

/** What is wrong with a source of git, with the paths of its fields below `path`. */
export function validateGitSource(git: GitSource | undefined, path: string): FieldError[] {
  if (git === undefined) return [];
  const { url, ref = {}, interval } = git;
  const errors: FieldError[] = [];
  const check = (field: string, value: string, fault: string | undefined) => {
    if (fault !== undefined) errors.push(fieldInvalid(`${path}.${field}`, value, fault));
  };
  // Not the whole of it: people put passwords there.
  check('url', url.replace(/^(.*:\/\/)?.*@/, '$1…@'), faultOfGitUrl(url));
  if (ref.branch !== undefined) check('ref.branch', ref.branch, faultOfRefName(ref.branch));
  if (ref.tag !== undefined) check('ref.tag', ref.tag, faultOfRefName(ref.tag));
  const folder = git.path ?? '.';
  if (folder.startsWith('/') || folder.split('/').includes('..')) {
    check('path', folder, 'must be a folder in the repository, relative and without ..');
  }
  return [...errors, ...validateInterval(interval, `${path}.interval`)];
}
