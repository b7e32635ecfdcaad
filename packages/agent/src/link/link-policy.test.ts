import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { isStatusError, linkAccesses } from '@selvedge/api';
import fc from 'fast-check';
import { checkAllowed, effectiveAccess, isWithin, requiredAccess } from './link-policy.ts';

const required = (method: string, path: string, isUpgrade = false) =>
  requiredAccess({ method, path, isUpgrade });

const readable = [
  '/',
  '/api',
  '/api/',
  '/api/v1',
  '/apis',
  '/apis/',
  '/apis/apps',
  '/apis/apps/v1',
  '/apis/metrics.k8s.io/v1beta1/nodes/node-1',
  '/api/v1/pods',
  '/api/v1/pods?watch=1&allowWatchBookmarks=true&resourceVersion=7',
  '/api/v1/namespaces',
  '/api/v1/namespaces/shop',
  '/api/v1/namespaces/shop/status',
  '/api/v1/namespaces/shop/pods/till-0',
  '/api/v1/namespaces/shop/pods/till-0/',
  '/api/v1/namespaces/shop/pods/till-0/status',
  '/api/v1/namespaces/shop/pods/till-0/log?follow=true&container=a',
  '/api/v1/namespaces/proxy/pods/exec',
  '/api/v1/watch/namespaces/shop/pods/till-0',
  '/api/v1/nodes/node-1',
  '/apis/apps/v1/namespaces/shop/deployments/till/scale',
  '/apis/rbac.authorization.k8s.io/v1/clusterroles/system:controller:job-controller',
  '/apis/rbac.authorization.k8s.io/v1/clusterrolebindings/a%20name',
  '/apis/selvedge.example/v1/namespaces/shop/tills/one',
  '/openapi/v2',
  '/openapi/v3',
  '/openapi/v3/apis/apps/v1?hash=ABC',
  '/version',
  '/version/',
  '/healthz',
  '/livez/etcd',
  '/readyz?verbose',
  '/rack/v1/machines/0b0a2d52-0000-4000-8000-000000000001/log',
];

const full = [
  '/rack/v1/machines/0b0a2d52-0000-4000-8000-000000000001/console',
  '/rack/v1/machines',
  '/api/v1/namespaces/shop/pods/till-0/exec?command=sh',
  '/api/v1/namespaces/shop/pods/till-0/exec/',
  '/api/v1/namespaces/shop/pods/till-0/attach',
  '/api/v1/namespaces/shop/pods/till-0/portforward?ports=80',
  '/api/v1/namespaces/shop/pods/till-0/proxy',
  '/api/v1/namespaces/shop/pods/till-0/proxy/admin',
  '/api/v1/namespaces/shop/pods/till-0%2Fexec',
  '/api/v1/namespaces/shop/pods%2Ftill-0%2Fexec',
  '/api/v1/namespaces/shop/pods/till-0/%65xec',
  '/api/v1/namespaces/shop/pods/till-0/%2565xec',
  '/api/v1/namespaces/shop//pods/till-0',
  '//api/v1/pods',
  '/api/v1/namespaces/shop/pods/till-0/log/more',
  '/api/v1/namespaces/shop/pods/till-0/unknown',
  '/api/v1/namespaces/shop/services/x:y/proxy',
  '/api/v1/namespaces/shop/services/https:x:443/proxy/path',
  '/api/v1/nodes/node-1/proxy',
  '/api/v1/nodes/node-1/proxy/exec/shop/till-0/a',
  '/api/v1/nodes/node-1:10250/proxy/run/shop/till-0/a',
  '/api/v1/proxy/nodes/node-1',
  '/api/v1/proxy/namespaces/shop/pods/till-0',
  '/api/v1/watch/proxy/nodes/node-1',
  '/api/v1/watch',
  '/api/v1/watch/watch/pods',
  '/api/v1/namespaces/shop/proxy/pods/till-0',
  '/apis/apps/v1/namespaces/shop/deployments/till/log',
  '/apis/subresources.kubevirt.io/v1/start-cluster-profiler',
  '/apis/subresources.kubevirt.io/v1/namespaces/shop/virtualmachineinstances/vm/console',
  '/apis/build.openshift.io/v1/namespaces/shop/builds/b/log',
  '/api/exec/namespaces/shop/pods/till-0',
  '/apis/apps/exec/deployments',
  '/API/v1/pods',
  '/metrics',
  '/logs/kube-apiserver.log',
  '/debug/pprof/heap',
  '/openapi/v2/more',
  '/version/openshift',
  '/.well-known/openid-configuration',
  '/k8s/clusters/other/api/v1/pods',
];

const strange = [
  '',
  'api/v1/pods',
  'https://elsewhere/api/v1/pods',
  '/api/v1/../../secret',
  '/api/v1/namespaces/shop/pods/./till-0',
  '/api/v1/namespaces/shop/pods/..',
  '/api/v1/%2e%2e/pods',
  '/api/v1/.%2E/pods',
  '/api/v1/x%2f..%2fpods',
  '/api/v1/x%5c..%5cpods',
  '/api\\v1',
  '/api/v1/pods#fragment',
  '/api/v1/pods HTTP/1.1\r\nhost: x',
  '/api/v1/po ds',
  '/api/v1/pods%00',
  '/api/v1/pods%0d%0a',
  '/api/v1/pods%zz',
  '/api/v1/pods%ff',
  '/api/v1/pödel',
  `/api/v1/${'x'.repeat(70_000)}`,
];

const questions = [
  '/apis/authorization.k8s.io/v1/selfsubjectaccessreviews',
  '/apis/authorization.k8s.io/v1/selfsubjectrulesreviews?timeout=5s',
  '/apis/authentication.k8s.io/v1/selfsubjectreviews',
  '/apis/authentication.k8s.io/v1beta1/selfsubjectreviews',
];

const noQuestions = [
  '/apis/authorization.k8s.io/v1/subjectaccessreviews',
  '/apis/authorization.k8s.io/v1/namespaces/shop/localsubjectaccessreviews',
  '/apis/authentication.k8s.io/v1/tokenreviews',
  '/apis/authentication.k8s.io/v1/selfsubjectaccessreviews',
  '/apis/authorization.k8s.io/v1/selfsubjectaccessreviews/x',
  '/apis/__proto__/v1/selfsubjectreviews',
  '/api/v1/namespaces/shop/pods?dryRun=All',
  '/api/v1/namespaces/shop/serviceaccounts/a/token',
  '/api/v1/namespaces/shop/pods/till-0/eviction',
];

describe('what Read allows over the service link', () => {
  test('reading of resources, logs, watches, discovery, OpenAPI, version and health', () => {
    for (const path of readable) {
      assert.equal(required('GET', path), 'Read', path);
      assert.equal(required('HEAD', path), 'Read', path);
    }
  });

  test('nothing that leads further than the API, and nothing that can be read in two ways', () => {
    for (const path of full) assert.equal(required('GET', path), 'Full', path);
  });

  test('a path that no client of Kubernetes sends is refused, whatever the policy', () => {
    for (const path of strange) {
      for (const method of ['GET', 'POST']) {
        assert.throws(
          () => required(method, path),
          (error) => isStatusError(error, 'BadRequest'),
          path,
        );
      }
    }
    for (const method of ['get', 'TRACE', 'CONNECT', 'PROPFIND', '']) {
      assert.throws(
        () => required(method, '/api'),
        (error) => isStatusError(error, 'MethodNotAllowed'),
      );
    }
  });

  test('questions about oneself may be posted, nothing else', () => {
    for (const path of questions) assert.equal(required('POST', path), 'Read', path);
    for (const path of [...noQuestions, ...readable]) assert.equal(required('POST', path), 'Full', path);
    for (const path of questions) assert.equal(required('PUT', path), 'Full', path);
  });

  test('no upgrade, also not of what may be read', () => {
    for (const path of [...readable, ...questions]) assert.equal(required('GET', path, true), 'Full', path);
  });

  const segment = fc.oneof(
    fc.constantFrom(
      'api',
      'apis',
      'v1',
      'namespaces',
      'pods',
      'nodes',
      'services',
      'watch',
      'proxy',
      'x',
      'log',
    ),
    fc.constantFrom('exec', 'attach', 'portforward', 'status', 'scale', 'x:y', '%65xec', 'a%2Fb', '', 'Exec'),
    fc.stringMatching(/^[a-z0-9:.%-]{1,8}$/),
  );
  const anyPath = fc.array(segment, { maxLength: 10 }).map((segments) => `/${segments.join('/')}`);
  const judge = (method: string, path: string, isUpgrade = false) => {
    try {
      return required(method, path, isUpgrade);
    } catch {
      return 'refused';
    }
  };

  test('whatever is allowed, Kubernetes reads as a resource without a connecting subresource', () => {
    fc.assert(
      fc.property(anyPath, (path) => {
        if (judge('GET', path) !== 'Read') return;
        const info = requestInfo(decodeURIComponent(path));
        assert.ok(!['exec', 'attach', 'portforward', 'proxy'].includes(info.subresource), path);
        assert.notEqual(info.verb, 'proxy', path);
      }),
      { numRuns: 3000 },
    );
  });

  test('only GET, HEAD and the questions are ever Read; a query changes nothing; an upgrade never is', () => {
    const method = fc.constantFrom('POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS');
    fc.assert(
      fc.property(anyPath, method, fc.webQueryParameters(), (path, verb, query) => {
        assert.notEqual(judge(verb, path), 'Read');
        assert.notEqual(judge('GET', path, true), 'Read');
        assert.equal(judge('GET', `${path}?${query.replaceAll('#', '')}`), judge('GET', path));
      }),
      { numRuns: 1000 },
    );
  });
});

describe('whose word holds', () => {
  test('the stricter of the hub and the site', () => {
    const table = linkAccesses.map((site) => linkAccesses.map((local) => effectiveAccess({ site, local })));
    assert.deepEqual(table, [
      ['Disabled', 'Disabled', 'Disabled'],
      ['Disabled', 'Read', 'Read'],
      ['Disabled', 'Read', 'Full'],
    ]);
    assert.equal(isWithin('Read', 'Disabled'), false);
  });

  test('a refusal names the setting that stands in the way, and never the query', () => {
    const asked = { method: 'GET', path: '/api/v1/namespaces/a/pods/b/exec?command=secret', isUpgrade: true };
    const message = (site: 'Read' | 'Full', local: 'Read' | 'Full') => {
      try {
        checkAllowed(asked, 'Full', { site, local });
        return 'allowed';
      } catch (error) {
        assert.ok(isStatusError(error, 'Forbidden'));
        assert.doesNotMatch(error.message, /secret/);
        return error.message;
      }
    };
    assert.match(message('Read', 'Full'), /^Site\.spec\.link is Read: a streaming session on .+ needs Full$/);
    assert.match(message('Full', 'Read'), /^the agent of this site runs with --link read/);
    assert.equal(message('Full', 'Full'), 'allowed');
  });
});

/** As RequestInfoFactory of k8s.io/apiserver parts a path. */
function requestInfo(path: string): { verb: string; subresource: string } {
  const none = { verb: 'get', subresource: '' };
  const trimmed = path.replace(/^\/+|\/+$/g, '');
  let parts = trimmed === '' ? [] : trimmed.split('/');
  if (parts.length < 3 || (parts[0] !== 'api' && parts[0] !== 'apis')) return none;
  if (parts[0] === 'apis') {
    if (parts.length < 4) return none;
    parts = parts.slice(1);
  }
  parts = parts.slice(2);
  let verb = 'get';
  if (parts[0] === 'proxy' || parts[0] === 'watch') {
    if (parts.length < 2) return none;
    verb = parts[0];
    parts = parts.slice(1);
  }
  if (parts[0] === 'namespaces' && parts.length > 2 && !['status', 'finalize'].includes(parts[2] ?? '')) {
    parts = parts.slice(2);
  }
  return { verb, subresource: verb === 'proxy' ? '' : (parts[2] ?? '') };
}
