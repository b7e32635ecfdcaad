import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { type Application, isStatusError, type ObjectClient } from '@selvedge/api';
import type { AdmissionContext } from '@selvedge/apiserver';
import type { FleetStore } from '@selvedge/store';
import { renderAction } from './render-application.ts';

const application = {
  apiVersion: 'selvedge.dev/v1alpha1',
  kind: 'Application',
  metadata: { name: 'till', namespace: 'shop' },
  spec: {},
} as Application;

/** Nothing may be read before it is known who asks for what. */
const unreachable = new Proxy({} as object, {
  get: () => {
    throw new Error('read before the user was asked for');
  },
});

describe('applications/render', () => {
  const asked: unknown[] = [];
  const context = (allowed: boolean) =>
    ({
      user: { name: 'eve', groups: [] },
      authorizer: {
        decide: (_user: unknown, wanted: unknown) => {
          asked.push(wanted);
          return { allowed };
        },
      },
      dryRun: false,
    }) as unknown as AdmissionContext;
  const { invoke } = renderAction({
    client: () => unreachable as ObjectClient,
    fleet: unreachable as FleetStore,
  });
  const answer = async (body: unknown, allowed = false) => invoke(application, body, context(allowed));

  test('shows values of a site only to who may get the Site', async () => {
    await assert.rejects(answer({ spec: { site: 'ulm' } }), (error) => {
      assert.ok(isStatusError(error, 'Forbidden'));
      return /sites\.selvedge\.dev "ulm" is forbidden.*"eve"/.test(error.message);
    });
    const group = 'selvedge.dev';
    assert.deepEqual(asked, [{ verb: 'get', group, version: 'v1alpha1', resource: 'sites', name: 'ulm' }]);
  });

  test('refuses what names no site', async () => {
    for (const body of [
      undefined,
      'ulm',
      {},
      { spec: null },
      { spec: { site: '' } },
      { spec: { site: 1 } },
    ]) {
      await assert.rejects(answer(body, true), (error) => isStatusError(error, 'BadRequest'));
    }
    await assert.rejects(answer({ spec: { site: 'ulm', release: 3 } }, true), /spec\.release/);
  });
});
