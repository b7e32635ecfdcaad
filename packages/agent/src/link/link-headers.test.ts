import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { isStatusError, linkUserHeader } from '@selvedge/api';
import { answeredHeaders, passedHeaders, readLinkUser } from './link-headers.ts';
import { userHeader } from './testing/link-client.ts';

describe('headers over the service link', () => {
  test('nothing of the client that says who it is goes on to the site', () => {
    const kept = passedHeaders({
      accept: 'application/json',
      'content-type': 'application/json',
      'x-stream-protocol-version': 'v4.channel.k8s.io, v3.channel.k8s.io',
      'sec-websocket-key': 'abc',
      authorization: 'Bearer x',
      cookie: 'session=x',
      'impersonate-user': 'system:admin',
      'impersonate-extra-scopes': 'x',
      'x-remote-user': 'system:admin',
      'x-forwarded-for': '10.0.0.1',
      forwarded: 'for=10.0.0.1',
      'proxy-authorization': 'Basic x',
      'selvedge-user': 'x',
      'x-auth-request-user': 'admin',
      'x-http-method-override': 'DELETE',
      connection: 'upgrade',
      upgrade: 'websocket',
      host: 'hub',
      'transfer-encoding': 'chunked',
    });
    assert.deepEqual(Object.keys(kept).sort(), [
      'accept',
      'content-type',
      'sec-websocket-key',
      'x-stream-protocol-version',
    ]);
  });

  test('a bearer token among the subprotocols is dropped', () => {
    const token = 'base64url.bearer.authorization.k8s.io.c2VjcmV0';
    const kept = (value: string) =>
      passedHeaders({ 'sec-websocket-protocol': value })['sec-websocket-protocol'];
    assert.equal(
      kept(`v5.channel.k8s.io,${token}, v4.channel.k8s.io`),
      'v5.channel.k8s.io, v4.channel.k8s.io',
    );
    assert.equal(kept(token), undefined);
  });

  test("headers of the site's connection and its cookies do not go back", () => {
    const kept = answeredHeaders({
      'content-type': 'text/plain',
      'audit-id': '1',
      connection: 'keep-alive, X-Hop',
      'keep-alive': 'timeout=5',
      'transfer-encoding': 'chunked',
      'x-hop': '1',
      'set-cookie': ['a=b'],
    });
    assert.deepEqual(kept, { 'content-type': 'text/plain', 'audit-id': '1' });
  });
});

describe('for whom the hub asks', () => {
  test('any name that is itself once it stands in a header', () => {
    for (const name of ['anna', 'system:serviceaccount:a:b', 'anna müller', '陳', 'a@b', '😀']) {
      const user = { name, groups: ['g h', 'ä'] };
      assert.deepEqual(readLinkUser({ [linkUserHeader]: userHeader(user) }), user);
    }
  });

  test('a missing, broken or ambiguous name is refused', () => {
    const bad = [
      undefined,
      '',
      'no json',
      Buffer.from('null').toString('base64url'),
      Buffer.from('{"name":1,"groups":[]}').toString('base64url'),
      Buffer.from('{"name":"a"}').toString('base64url'),
      Buffer.from(String.raw`{"name":"\ud800","groups":[]}`).toString('base64url'),
      ...['', ' a', 'a ', 'a\t', 'a\r\nimpersonate-group: system:masters', 'a\0'].map((name) =>
        userHeader({ name, groups: [] }),
      ),
      userHeader({ name: 'a', groups: ['b '] }),
      userHeader({ name: 'a'.repeat(2000), groups: [] }),
      userHeader({ name: 'a', groups: Array.from({ length: 300 }, (_, n) => `g${n}`) }),
    ];
    for (const text of bad) {
      assert.throws(
        () => readLinkUser(text === undefined ? {} : { [linkUserHeader]: text }),
        (error) => isStatusError(error, 'BadRequest'),
        text,
      );
    }
  });
});
