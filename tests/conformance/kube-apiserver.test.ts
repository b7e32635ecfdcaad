import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { systemClock } from '@selvedge/api/node';
import fc from 'fast-check';
import { compareAnswers, type Divergence, type Step } from './comparison.ts';
import { requireKubeApiserver } from './kube-apiserver.ts';
import { kinds, randomStep } from './random-steps.ts';
import { scenarios } from './scenarios.ts';
import { type Servers, startBoth } from './start-both.ts';

describe('answers are those of a kube-apiserver', requireKubeApiserver(), () => {
  let servers: Servers;
  before(async () => {
    servers = await startBoth();
  });
  after(() => servers?.close());

  const compare = async (steps: readonly Step[]) => {
    const [first] = await compareAnswers(servers.ours, servers.theirs, steps);
    if (first) assert.deepEqual(first.ours, first.theirs, describeRequest(first));
  };

  for (const [name, steps] of Object.entries(scenarios)) {
    test(name, () => compare(steps));
  }

  let objects = 0;
  for (const [name, kind] of Object.entries(kinds)) {
    test(`any sequence of requests for ${name}`, () =>
      fc.assert(
        fc.asyncProperty(fc.array(randomStep(kind), { minLength: 1, maxLength: 8 }), async (makers) => {
          const object = `random-${++objects}`;
          await compare(makers.map((make) => make(object)));
        }),
        { numRuns: 100 },
      ));
  }

  test('the entries of managers stand in the order of their times', async () => {
    const path = '/api/v1/namespaces/default/configmaps';
    const write = (manager: string, data: object) => async () => {
      const request = {
        method: 'PATCH',
        path: `${path}/timed?fieldManager=${manager}`,
        body: { apiVersion: 'v1', kind: 'ConfigMap', metadata: { name: 'timed' }, data },
        contentType: 'application/apply-patch+yaml',
      };
      const answers = await Promise.all([servers.ours.send(request), servers.theirs.send(request)]);
      return answers.map(({ body }) => managersOf(body));
    };
    // Two of one second would stand in the order of their names.
    const writes = [
      write('z', { a: '1' }),
      write('y', { b: '1' }),
      write('z', { a: '2' }),
      write('a', { b: '1' }),
    ];
    for (const next of writes) {
      const [ours, theirs] = await next();
      assert.deepEqual(ours, theirs);
      await systemClock.sleep(1100);
    }
  });
});

function managersOf(object: Record<string, unknown>): string[] {
  const { managedFields = [] } = object['metadata'] as { managedFields?: { manager: string }[] };
  return managedFields.map(({ manager }) => manager);
}

const describeRequest = ({ step, request }: Divergence): string =>
  `step ${step}: ${request.method} ${request.path} ${JSON.stringify(request.body)}`;
