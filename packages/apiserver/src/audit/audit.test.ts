import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { eventually, startTestServer, type TestServer } from '../testing/test-server.ts';
import type { AuditEvent } from './audit-event.ts';
import { auditUri } from './audit-event.ts';
import { parseAuditPolicy } from './audit-policy.ts';

const configMaps = '/api/v1/namespaces/default/configmaps';
const secrets = '/api/v1/namespaces/default/secrets';
const policy = parseAuditPolicy(`
apiVersion: audit.k8s.io/v1
kind: Policy
omitManagedFields: true
rules:
  - {level: None, verbs: [list]}
  - {level: Request, verbs: [patch]}
  - {level: RequestResponse}
`);
const secretText = 'c2VjcmV0LXRleHQ=';

describe('the audit log of requests', () => {
  let server: TestServer;
  const events: AuditEvent[] = [];
  let text = '';

  before(async () => {
    const sink = {
      write: (line: string) => {
        text += line;
        events.push(JSON.parse(line) as AuditEvent);
      },
    };
    server = await startTestServer({ server: { audit: { policy, sink } } });
  });
  after(() => server.close());

  /** What is recorded of the request with this answer, by stage. */
  const recorded = async (headers: Headers): Promise<Record<string, AuditEvent>> => {
    const id = headers.get('audit-id');
    assert.ok(id);
    return eventually(async () => {
      const found = Object.fromEntries(events.filter((e) => e.auditID === id).map((e) => [e.stage, e]));
      return found['ResponseComplete'] ? found : undefined;
    });
  };

  const create = (path: string, object: object) =>
    server.request('POST', path, {
      body: object,
      headers: { 'user-agent': 'tester/1', 'x-forwarded-for': '192.0.2.7, nonsense' },
    });
  const configMap = (name: string) => ({
    apiVersion: 'v1',
    kind: 'ConfigMap',
    metadata: { name },
    data: { a: 'b' },
  });

  test('who did what to which object, when, from where, and what came of it', async () => {
    const answer = await create(`${configMaps}?fieldManager=t`, configMap('one'));
    assert.equal(answer.status, 201);
    const { RequestReceived, ResponseComplete } = await recorded(answer.headers);
    assert.equal(RequestReceived?.responseStatus, undefined);
    assert.deepEqual(
      {
        kind: ResponseComplete?.kind,
        apiVersion: ResponseComplete?.apiVersion,
        level: ResponseComplete?.level,
        verb: ResponseComplete?.verb,
        uri: ResponseComplete?.requestURI,
        user: ResponseComplete?.user,
        agent: ResponseComplete?.userAgent,
        status: ResponseComplete?.responseStatus,
      },
      {
        kind: 'Event',
        apiVersion: 'audit.k8s.io/v1',
        level: 'RequestResponse',
        verb: 'create',
        uri: `${configMaps}?fieldManager=t`,
        user: { username: 'admin', groups: ['system:masters', 'system:authenticated'] },
        agent: 'tester/1',
        status: { metadata: {}, code: 201 },
      },
    );
    const { uid, ...object } = ResponseComplete?.objectRef ?? { resource: '' };
    assert.deepEqual(object, { resource: 'configmaps', namespace: 'default', name: 'one', apiVersion: 'v1' });
    assert.equal(uid, (answer.body['metadata'] as { uid: string }).uid);
    assert.equal(ResponseComplete?.sourceIPs?.[0], '192.0.2.7');
    assert.match(ResponseComplete?.sourceIPs?.[1] ?? '', /127\.0\.0\.1$/);
    assert.match(
      ResponseComplete?.requestReceivedTimestamp ?? '',
      /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z$/,
    );
    assert.deepEqual(ResponseComplete?.annotations, {
      'authorization.k8s.io/decision': 'allow',
      'authorization.k8s.io/reason': 'member of the group system:masters',
    });
  });

  test('bodies as the policy says, without managedFields', async () => {
    const created = await recorded((await create(configMaps, configMap('two'))).headers);
    const { requestObject, responseObject } = created['ResponseComplete'] ?? {};
    assert.deepEqual(requestObject, configMap('two'));
    assert.equal((responseObject as { metadata: { name: string } }).metadata.name, 'two');
    assert.equal(JSON.stringify(responseObject).includes('managedFields'), false);
    const patch = await server.request('PATCH', `${configMaps}/two`, {
      body: { data: { c: 'd' } },
      headers: { 'content-type': 'application/merge-patch+json' },
    });
    const patched = (await recorded(patch.headers))['ResponseComplete'];
    assert.deepEqual(patched?.requestObject, { data: { c: 'd' } });
    assert.equal(patched?.responseObject, undefined);
  });

  test('never the body of a sensitive kind, whatever the policy says', async () => {
    const secret = {
      apiVersion: 'v1',
      kind: 'Secret',
      metadata: { name: 's' },
      data: { password: secretText },
    };
    const { ResponseComplete } = await recorded((await create(secrets, secret)).headers);
    assert.equal(ResponseComplete?.level, 'Metadata');
    await recorded((await server.request('GET', `${secrets}/s`)).headers);
    assert.equal(text.includes(secretText), false);
  });

  test('never a credential of the header or the query', async () => {
    const headers = { authorization: 'Bearer very-secret-token', 'x-user': 'none' };
    const answer = await server.request('GET', `${configMaps}/one?access_token=also-secret&a=b`, { headers });
    assert.equal(answer.status, 401);
    const { ResponseComplete } = await recorded(answer.headers);
    assert.deepEqual(ResponseComplete?.user, {});
    assert.equal(ResponseComplete?.requestURI, `${configMaps}/one?access_token=REDACTED&a=b`);
    assert.equal(ResponseComplete?.responseStatus?.code, 401);
    assert.doesNotMatch(text, /very-secret|also-secret/);
    assert.equal(auditUri('/x?%74oken=a&b&tok%zz=c'), '/x?%74oken=REDACTED&b&tok%zz=c');
  });

  test('refusals, with the decision', async () => {
    const answer = await server.request('GET', `${configMaps}/one`, { headers: { 'x-user': 'nobody' } });
    const { ResponseComplete } = await recorded(answer.headers);
    assert.equal(ResponseComplete?.annotations?.['authorization.k8s.io/decision'], 'forbid');
    assert.equal(ResponseComplete?.responseStatus?.reason, 'Forbidden');
    assert.equal(ResponseComplete?.user.username, 'nobody');
  });

  test('the user that is impersonated stands beside the one who does it', async () => {
    const headers = { 'Impersonate-User': 'bob', 'Impersonate-Group': 'system:masters' };
    const { ResponseComplete } = await recorded(
      (await server.request('GET', `${configMaps}/one`, { headers })).headers,
    );
    assert.equal(ResponseComplete?.user.username, 'admin');
    assert.equal(ResponseComplete?.impersonatedUser?.username, 'bob');
    assert.equal(ResponseComplete?.responseStatus?.code, 200);
    const refused = await server.request('GET', `${configMaps}/one`, {
      headers: { ...headers, 'x-user': 'nobody' },
    });
    assert.equal((await recorded(refused.headers))['ResponseComplete']?.responseStatus?.code, 403);
  });

  test('a watch is recorded when it begins and when it ends', async () => {
    const stop = new AbortController();
    const answer = await fetch(`${server.url}${configMaps}?watch=true`, { signal: stop.signal });
    const id = answer.headers.get('audit-id');
    await eventually(async () => events.find((e) => e.auditID === id && e.stage === 'ResponseStarted'));
    assert.equal(
      events.some((e) => e.auditID === id && e.stage === 'ResponseComplete'),
      false,
    );
    stop.abort();
    await recorded(answer.headers);
  });

  test('what the policy leaves out leaves no line', async () => {
    const answer = await server.request('GET', configMaps);
    const id = answer.headers.get('audit-id');
    await recorded((await server.request('GET', `${configMaps}/one`)).headers);
    assert.equal(
      events.some((e) => e.auditID === id),
      false,
    );
  });

  test('the client may name its request, in a form that is safe', async () => {
    const named = await server.request('GET', configMaps, { headers: { 'Audit-ID': 'my-id-1' } });
    assert.equal(named.headers.get('audit-id'), 'my-id-1');
    const hostile = await server.request('GET', configMaps, { headers: { 'Audit-ID': 'a b"c' } });
    assert.match(hostile.headers.get('audit-id') ?? '', /^[\da-f-]{36}$/);
  });

  test('events are counted', async () => {
    const { text: metrics } = await server.request('GET', '/metrics');
    const [, count] = /^apiserver_audit_event_total (\d+)$/m.exec(metrics) ?? [];
    assert.ok(Number(count) >= 10);
  });
});
