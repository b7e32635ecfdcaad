import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { isStatusError, type Machine, notFound, machines } from '@selvedge/api';
import type { ConnectRequest } from '@selvedge/apiserver';
import { machineConsole } from './machine-console.ts';

const machine: Machine = {
  apiVersion: 'selvedge.dev/v1alpha1',
  kind: 'Machine',
  metadata: { name: 'rack-7', uid: 'the-uid' },
  spec: { siteName: 'berlin', identity: {} },
};

/** What the site is asked for. */
async function asked(rest: string, name = 'rack-7'): Promise<string[]> {
  const calls: string[] = [];
  const console = machineConsole({
    client: () => ({
      get: (_, wanted) =>
        wanted.name === 'rack-7'
          ? Promise.resolve(machine as never)
          : Promise.reject(notFound(machines, wanted.name)),
    }),
    siteProxy: {
      connect: (request) => {
        calls.push(`${request.name} ${request.rest}`);
        return Promise.resolve();
      },
    },
  });
  await console.connect({ name, rest } as ConnectRequest);
  return calls;
}

describe('machines/NAME/console', () => {
  test('leads to the rack of its site, by its UID', async () => {
    assert.deepEqual(await asked('?stdin=true&a=?b'), [
      'berlin /rack/v1/machines/the-uid/console?stdin=true&a=?b',
    ]);
    assert.deepEqual(await asked('/log'), ['berlin /rack/v1/machines/the-uid/log']);
  });

  test('leads nowhere else at the site', async () => {
    for (const rest of ['/', '/log/', '/../../api/v1/secrets', '/log/../../x', '//log', '/console']) {
      await assert.rejects(asked(rest), (error) => isStatusError(error, 'NotFound'));
    }
    await assert.rejects(asked('', 'rack-8'), (error) => isStatusError(error, 'NotFound'));
  });
});
