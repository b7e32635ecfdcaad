import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { Attributes } from '../authorization/authorizer.ts';
import { type AuditLevel, decideAudit, parseAuditPolicy } from './audit-policy.ts';
import { defaultAuditPolicy } from './default-audit-policy.ts';

const user = { name: 'alice', groups: ['people', 'system:authenticated'] };
const resource = (attributes: Partial<Attributes>): Attributes =>
  ({
    verb: 'get',
    group: '',
    version: 'v1',
    resource: 'configmaps',
    namespace: 'team',
    name: 'x',
    ...attributes,
  }) as Attributes;

function levelOf(rules: string, attributes: Attributes): AuditLevel {
  const policy = parseAuditPolicy(
    `apiVersion: audit.k8s.io/v1\nkind: Policy\nrules:\n${rules}\n- level: None\n`,
  );
  return decideAudit(policy, user, attributes).level;
}

describe('an audit policy', () => {
  test('the first rule that matches decides, and none means nothing', () => {
    const rules = '- {level: Request, verbs: [get]}\n- {level: Metadata}';
    assert.equal(levelOf(rules, resource({})), 'Request');
    assert.equal(levelOf(rules, resource({ verb: 'list' })), 'Metadata');
    const policy = parseAuditPolicy(
      'apiVersion: audit.k8s.io/v1\nkind: Policy\nrules: [{level: Metadata, verbs: [list]}]',
    );
    assert.equal(decideAudit(policy, user, resource({})).level, 'None');
  });

  const cases: [rule: string, attributes: Attributes, matches: boolean][] = [
    ['users: [alice]', resource({}), true],
    ['users: [bob]', resource({}), false],
    ['userGroups: [people]', resource({}), true],
    ['userGroups: [others]', resource({}), false],
    ['namespaces: [team]', resource({}), true],
    ['namespaces: [""]', resource({ namespace: undefined }), true],
    ['namespaces: [other]', resource({}), false],
    ['resources: [{group: ""}]', resource({}), true],
    ['resources: [{group: apps}]', resource({}), false],
    ['resources: [{resources: [configmaps]}]', resource({}), true],
    ['resources: [{resources: [configmaps]}]', resource({ subresource: 'status' }), false],
    ['resources: [{resources: [configmaps/status]}]', resource({ subresource: 'status' }), true],
    ['resources: [{resources: ["configmaps/*"]}]', resource({ subresource: 'status' }), true],
    ['resources: [{resources: ["*/status"]}]', resource({ subresource: 'status' }), true],
    ['resources: [{resources: ["*"]}]', resource({ subresource: 'status' }), true],
    ['resources: [{resources: [configmaps], resourceNames: [x]}]', resource({}), true],
    ['resources: [{resources: [configmaps], resourceNames: [y]}]', resource({}), false],
    ['resources: [{resources: [configmaps]}]', { verb: 'get', path: '/metrics' }, false],
    ['nonResourceURLs: ["/metr*"]', { verb: 'get', path: '/metrics' }, true],
    ['nonResourceURLs: ["/metrics"]', { verb: 'get', path: '/metrics/x' }, false],
    ['nonResourceURLs: ["*"]', { verb: 'get', path: '/x' }, true],
    ['nonResourceURLs: ["*"]', resource({}), false],
  ];
  for (const [rule, attributes, matches] of cases) {
    test(`${rule} ${matches ? 'matches' : 'does not match'} ${JSON.stringify(attributes)}`, () => {
      assert.equal(levelOf(`- {level: Metadata, ${rule}}`, attributes), matches ? 'Metadata' : 'None');
    });
  }

  test('omitStages of the policy and of the rule add up, omitManagedFields of the rule wins', () => {
    const policy = parseAuditPolicy(`
apiVersion: audit.k8s.io/v1
kind: Policy
omitStages: [RequestReceived]
omitManagedFields: true
rules:
  - {level: Metadata, verbs: [get], omitStages: [Panic], omitManagedFields: false}
  - {level: Metadata}`);
    const first = decideAudit(policy, user, resource({}));
    assert.deepEqual([first.omitStages, first.omitManagedFields], [['RequestReceived', 'Panic'], false]);
    assert.equal(decideAudit(policy, user, resource({ verb: 'list' })).omitManagedFields, true);
  });

  const wrong: [text: string, message: RegExp][] = [
    ['kind: Policy', /must have apiVersion: audit.k8s.io\/v1/],
    ['[', /not valid YAML/],
    ['- 1', /the file must be an object/],
    ['{apiVersion: audit.k8s.io/v1, kind: Policy}', /at least one rule/],
    [
      '{apiVersion: audit.k8s.io/v1, kind: Policy, rules: [{level: All}]}',
      /rules\[0\]\.level must be one of None/,
    ],
    [
      '{apiVersion: audit.k8s.io/v1, kind: Policy, rules: [{level: None, user: [a]}]}',
      /rules\[0\]\.user is not known/,
    ],
    [
      '{apiVersion: audit.k8s.io/v1, kind: Policy, rules: [{level: None, users: a}]}',
      /rules\[0\]\.users must be a list/,
    ],
    [
      '{apiVersion: audit.k8s.io/v1, kind: Policy, rules: [{level: None, omitStages: [End]}]}',
      /omitStages\.\[0\] must be one of RequestReceived/,
    ],
    [
      '{apiVersion: audit.k8s.io/v1, kind: Policy, rules: [{level: None, nonResourceURLs: ["/a*b"]}]}',
      /nonResourceURLs\[0\] must be \*/,
    ],
    [
      '{apiVersion: audit.k8s.io/v1, kind: Policy, rules: [{level: None, resources: [{group: apps/v1}]}]}',
      /resources\[0\]\.group must be a group without its version/,
    ],
  ];
  for (const [text, message] of wrong) {
    test(`is refused with its place: ${text.slice(0, 90)}`, () => {
      assert.throws(() => parseAuditPolicy(text), { message });
    });
  }
});

describe('the default audit policy', () => {
  const level = (attributes: Attributes) => decideAudit(defaultAuditPolicy(), user, attributes).level;

  test('records changes, reads of secrets and backups, never a body', () => {
    assert.equal(level(resource({ verb: 'create' })), 'Metadata');
    assert.equal(level(resource({ verb: 'delete', group: 'selvedge.dev', resource: 'sites' })), 'Metadata');
    assert.equal(level(resource({ resource: 'secrets' })), 'Metadata');
    assert.equal(
      level(resource({ verb: 'create', resource: 'serviceaccounts', subresource: 'token' })),
      'Metadata',
    );
    assert.equal(level({ verb: 'get', path: '/selvedge/v1/backup' }), 'Metadata');
  });

  test('leaves out other reads, and what programs do all the time', () => {
    assert.equal(level(resource({})), 'None');
    assert.equal(level(resource({ verb: 'watch', group: 'selvedge.dev', resource: 'sites' })), 'None');
    assert.equal(
      level(resource({ verb: 'update', group: 'coordination.k8s.io', resource: 'leases' })),
      'None',
    );
    assert.equal(level(resource({ verb: 'create', resource: 'events' })), 'None');
    assert.equal(
      level(
        resource({ verb: 'create', group: 'authorization.k8s.io', resource: 'selfsubjectaccessreviews' }),
      ),
      'None',
    );
    assert.equal(level({ verb: 'get', path: '/metrics' }), 'None');
  });
});
