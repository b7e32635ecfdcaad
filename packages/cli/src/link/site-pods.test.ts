import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { StatusError } from '@selvedge/api';
import { CommandError } from '../program/exit-code.ts';
import { siteError } from './site-pods.ts';

const hintFor = (message: string) => {
  const error = siteError('paris', new StatusError('Forbidden', message));
  assert.ok(error instanceof CommandError);
  assert.equal(error.message, message);
  return error.hint;
};

describe('a refusal on the way into a site', () => {
  test("by the site's own RBAC comes with the binding that would allow it", () => {
    const logs =
      'pods is forbidden: User "selvedge:anna" cannot list resource "pods" in API group "" in the namespace "shop"';
    assert.match(
      hintFor(logs) ?? '',
      /the third.*: kubectl create rolebinding hub-view --clusterrole view --user selvedge:anna -n shop$/,
    );
    const exec =
      'pods "till" is forbidden: User "selvedge:o\'hara" cannot create resource "pods/exec" in API group "" in the namespace "shop"';
    assert.match(
      hintFor(exec) ?? '',
      /rolebinding hub-edit --clusterrole edit --user 'selvedge:o'\\''hara' -n shop$/,
    );
    const nodes =
      'nodes is forbidden: User "selvedge:anna" cannot list resource "nodes" in API group "" at the cluster scope';
    assert.match(hintFor(nodes) ?? '', /kubectl create clusterrolebinding hub-view .* selvedge:anna$/);
  });

  test('by the hub or by the Site names all three', () => {
    for (const message of [
      'sites.selvedge.dev "paris" is forbidden: User "anna" cannot get resource "sites/proxy" in API group "selvedge.dev"',
      'Site.spec.link is Read: an upgrade on /api/v1/x needs Full',
    ]) {
      assert.match(hintFor(message) ?? '', /sites\/proxy.*spec\.link.*selvedge:<you>/);
    }
  });
});
