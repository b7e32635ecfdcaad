import assert from 'node:assert/strict';
import { Readable } from 'node:stream';
import { test } from 'node:test';
import { agentManifests, resolveInstall } from '@selvedge/api';
import { systemClock } from '@selvedge/api/node';
import { ClusterUnderTest, requireCluster } from '@selvedge/testkit';
import type { LinkCall } from '../../../link/link-door.ts';
import { listLogger } from '../../../testing/test-agent.ts';
import { createKubernetesDoor } from './kubernetes-door.ts';

const user = { name: 'anna', groups: ['shop', 'system:masters'] };

function call(options: Partial<LinkCall>): LinkCall {
  const signal = new AbortController().signal;
  return { method: 'GET', path: '/', headers: {}, user, signal, ...options };
}

test('a real API server takes the user for selvedge:NAME, with the rights of that name alone', {
  ...requireCluster('kube-apiserver'),
  timeout: 120_000,
}, async () => {
  const cluster = await ClusterUnderTest.start('kube-apiserver');
  try {
    const door = createKubernetesDoor({ access: cluster.access, logger: listLogger([]) });
    const ask = async (options: Partial<LinkCall>, body = '') => {
      const answer = await door.answer(call(options), Readable.from(body === '' ? [] : [Buffer.from(body)]));
      const text = Buffer.concat((await answer.body.toArray()) as Buffer[]).toString();
      return { status: answer.status, text };
    };
    const headers = { 'content-type': 'application/json' };
    const review = '{"apiVersion":"authentication.k8s.io/v1","kind":"SelfSubjectReview"}';
    const path = '/apis/authentication.k8s.io/v1/selfsubjectreviews';
    const who = await ask({ method: 'POST', path, headers }, review);
    assert.equal(who.status, 201);
    const { userInfo } = (JSON.parse(who.text) as { status: { userInfo: unknown } }).status;
    assert.deepEqual(userInfo, {
      username: 'selvedge:anna',
      groups: ['selvedge:shop', 'selvedge:system:masters', 'system:authenticated'],
    });

    // A hub's administrator is nobody here until the site's RBAC says otherwise.
    const nodes = await ask({ path: '/api/v1/nodes' });
    assert.equal(nodes.status, 403);
    assert.match(nodes.text, /User \\"selvedge:anna\\" cannot list resource \\"nodes\\"/);
    await cluster.client().request({
      method: 'POST',
      path: '/apis/rbac.authorization.k8s.io/v1/clusterrolebindings',
      body: {
        apiVersion: 'rbac.authorization.k8s.io/v1',
        kind: 'ClusterRoleBinding',
        metadata: { name: 'shop' },
        roleRef: { apiGroup: 'rbac.authorization.k8s.io', kind: 'ClusterRole', name: 'cluster-admin' },
        subjects: [{ apiGroup: 'rbac.authorization.k8s.io', kind: 'Group', name: 'selvedge:shop' }],
      },
    });
    let status = 403;
    // The authorizer of the API server reads bindings from a cache.
    while (status === 403) ({ status } = await ask({ path: '/api/v1/nodes' }));
    assert.equal(status, 200);

    const exec = await door.upgrade(
      call({
        path: '/api/v1/namespaces/default/pods/none/exec?command=true&stdout=1',
        headers: {
          'sec-websocket-key': 'dGhlIHNhbXBsZSBub25jZQ==',
          'sec-websocket-version': '13',
          'sec-websocket-protocol': 'v5.channel.k8s.io',
        },
      }),
      'websocket',
    );
    assert.ok('body' in exec, 'there is no such pod: the refusal comes back as an answer');
    assert.equal(exec.status, 404);
    exec.body.resume();
  } finally {
    await cluster.close();
  }
});

test('an agent installed for some people asks a real API server for these, and says what is missing for others', {
  ...requireCluster('kube-apiserver'),
  timeout: 120_000,
}, async () => {
  const cluster = await ClusterUnderTest.start('kube-apiserver');
  try {
    const wish = { rbac: 'minimal', linkUsers: ['anna'], linkGroups: ['shop'], namespace: 'default' };
    const paths: Record<string, string> = {
      ServiceAccount: '/api/v1/namespaces/default/serviceaccounts',
      ClusterRole: '/apis/rbac.authorization.k8s.io/v1/clusterroles',
      ClusterRoleBinding: '/apis/rbac.authorization.k8s.io/v1/clusterrolebindings',
    };
    for (const body of agentManifests(resolveInstall(wish), 'unused')) {
      const path = paths[body.kind];
      if (path !== undefined) await cluster.client().request({ method: 'POST', path, body });
    }
    const access = await cluster.accessForServiceAccount('default', 'selvedge-agent');
    const door = createKubernetesDoor({ access, logger: listLogger([]) });
    const review = '{"apiVersion":"authentication.k8s.io/v1","kind":"SelfSubjectReview"}';
    const askAs = async (name: string, groups: string[]) => {
      const asked = call({
        method: 'POST',
        path: '/apis/authentication.k8s.io/v1/selfsubjectreviews',
        headers: { 'content-type': 'application/json' },
        user: { name, groups },
      });
      const answer = await door.answer(asked, Readable.from([Buffer.from(review)]));
      answer.body.resume();
      return answer.status;
    };
    const all = ['shop', 'system:authenticated'];
    let status = 0;
    // The authorizer reads rules from a cache.
    for (let attempt = 0; attempt < 100 && status !== 201; attempt += 1) {
      status = await askAs('anna', all).catch(() => 403);
      if (status !== 201) await systemClock.sleep(100);
    }
    assert.equal(status, 201);
    assert.equal(await askAs('anna', ['system:authenticated']), 201);
    await assert.rejects(
      askAs('anna', [...all, 'ops']),
      /--link-user anna --link-group shop --link-group ops \|/,
    );
    await assert.rejects(askAs('ben', all), /"ben".*--link-user ben --link-group shop \|/);
  } finally {
    await cluster.close();
  }
});
