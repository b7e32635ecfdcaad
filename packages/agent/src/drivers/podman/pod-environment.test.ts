import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import { resolveEnvironment, secretEnvironmentFile } from './pod-environment.ts';
import { expandVariables } from './variable-expansion.ts';

const facts = {
  name: 'web-0',
  namespace: 'shop',
  uid: 'u',
  labels: { app: 'web' },
  annotations: {},
  podIP: '10.0.0.2',
  hostIP: '10.0.0.1',
};
const data = {
  configMaps: new Map([['shop/cfg', new Map([['COLOR', Buffer.from('red')]])]]),
  secrets: new Map([['shop/safe', new Map([['PIN', Buffer.from('1234')]])]]),
};
const container = { name: 'main', image: 'i' };

describe('the variables of a container', () => {
  test('later ones win, and what comes from a Secret stays apart, also when it is passed on', () => {
    const environment = resolveEnvironment(
      {
        ...container,
        envFrom: [{ prefix: 'X_', configMapRef: { name: 'cfg' } }, { secretRef: { name: 'safe' } }],
        env: [
          { name: 'URL', value: 'db:$(PIN)' },
          { name: 'IP', valueFrom: { fieldRef: { fieldPath: 'status.podIP' } } },
          { name: 'PIN', value: 'public now' },
        ],
        args: ['$(IP)', '$(X_COLOR)', '$$(IP)'],
      },
      facts,
      data,
    );
    assert.deepEqual(environment.plain, { X_COLOR: 'red', IP: '10.0.0.2', PIN: 'public now' });
    assert.deepEqual([...environment.secret], [['URL', 'db:1234']]);
    assert.deepEqual(environment.args, ['10.0.0.2', 'red', '$(IP)']);
  });

  test('unknown names stay as they are', () => {
    assert.equal(expandVariables('$(A) $(B) $ $$ $$(A)', new Map([['A', '1']])), '1 $(B) $ $ $(A)');
  });

  test('a shell reads back exactly what the file of secret variables was made of', () => {
    const folder = mkdtempSync(join(tmpdir(), 'svg-env-'));
    const file = join(folder, 'env');
    try {
      const value = fc
        .string({ unit: 'binary' })
        .filter((text) => !text.includes('\0') && text.isWellFormed());
      fc.assert(
        fc.property(value, (text) => {
          writeFileSync(file, secretEnvironmentFile(new Map([['VALUE', text]])));
          const script = `set -a; . ${file}; printenv VALUE`;
          const said = execFileSync('/bin/sh', ['-c', script], { env: { PATH: process.env['PATH'] } });
          assert.equal(said.toString('utf8'), `${text}\n`);
        }),
        { numRuns: 50 },
      );
    } finally {
      rmSync(folder, { recursive: true });
    }
  });
});
