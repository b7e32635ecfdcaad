import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { request } from 'node:https';
import { join } from 'node:path';
import { describe, type TestContext, test } from 'node:test';
import { type EnrollmentToken, enrollmentTokens, type InstallWish, type KubeObject } from '@selvedge/api';
import { createHttpClient, loadKubeconfig, resourcePath } from '@selvedge/kube';
import { parseAllDocuments } from 'yaml';
import { listLogger } from './testing/list-logger.ts';
import { TestHub } from './testing/test-hub.ts';

interface Answer {
  readonly code: number;
  readonly type: string | undefined;
  readonly text: string;
}

class Installer {
  readonly lines: string[] = [];
  readonly #t: TestContext;
  hub!: TestHub;

  constructor(t: TestContext) {
    this.#t = t;
  }

  async start(): Promise<this> {
    this.hub = await TestHub.start(this.#t, { logger: listLogger(this.lines) });
    return this;
  }

  async makeToken(name = 'site-shop'): Promise<EnrollmentToken> {
    return this.hub.hub.client.create<EnrollmentToken>(enrollmentTokens, {
      apiVersion: 'selvedge.dev/v1alpha1',
      kind: 'EnrollmentToken',
      metadata: { name },
      spec: { siteName: 'shop', uses: 1, ttl: '24h' },
    });
  }

  /** As `selvedge site manifest --url` asks. */
  async url(install: InstallWish = {}, name = 'site-shop'): Promise<string> {
    const client = createHttpClient({ kubeconfig: await loadKubeconfig(this.hub.hub.kubeconfigPath) });
    try {
      const answer = await client.request<KubeObject & { status: { installUrls: string[] } }>({
        method: 'POST',
        path: resourcePath(enrollmentTokens, { name, subresource: 'token' }),
        body: {
          apiVersion: 'selvedge.dev/v1alpha1',
          kind: 'EnrollmentTokenRequest',
          metadata: { name },
          spec: { install },
        },
      });
      return answer.status.installUrls[0] ?? '';
    } finally {
      await client.close();
    }
  }

  async get(url: string, method = 'GET'): Promise<Answer> {
    const ca = readFileSync(join(this.hub.data, 'keys', 'ca.crt'), 'utf8');
    return new Promise((resolve, reject) => {
      const asked = request(url, { ca, method, agent: false }, (response) => {
        let text = '';
        response.setEncoding('utf8').on('data', (chunk: string) => {
          text += chunk;
        });
        response.on('end', () =>
          resolve({ code: response.statusCode ?? 0, type: response.headers['content-type'], text }),
        );
      });
      asked.on('error', reject).end();
    });
  }
}

const objectsOf = ({ text }: Answer): KubeObject[] =>
  parseAllDocuments(text).map((document) => document.toJS() as KubeObject);

describe('address of manifests', () => {
  test('answers what makes a cluster the site, as it was asked for, with a token that lets the agent in', async (t) => {
    const installer = await new Installer(t).start();
    await installer.makeToken();
    const url = await installer.url({
      namespace: 'edge',
      rbac: 'minimal',
      image: 'registry.example/agent:1',
    });
    const answer = await installer.get(url);
    assert.equal(answer.code, 200);
    assert.equal(answer.type, 'application/yaml; charset=utf-8');
    const objects = objectsOf(answer);
    assert.equal(objects[0]?.metadata.name, 'edge');
    assert.ok(!objects.some(({ metadata }) => metadata.name.startsWith('selvedge-agent-applications')));
    const secret = objects.find(({ kind }) => kind === 'Secret') as KubeObject & {
      stringData: { token: string };
    };
    const joined = await installer.hub.agent().enroll(secret.stringData.token);
    assert.equal(joined.code, 200);
    assert.equal((await installer.get(url, 'HEAD')).code, 403, 'the token is used up now');
    assert.match((await installer.get(url)).text, /used up/);
  });

  test('is good for fifteen minutes, and not longer than its token or its site’s right to it', async (t) => {
    const installer = await new Installer(t).start();
    await installer.makeToken();
    const url = await installer.url();
    installer.hub.clock.offsetMilliseconds = 14 * 60_000;
    assert.equal((await installer.get(url)).code, 200);
    installer.hub.clock.offsetMilliseconds = 15 * 60_000 + 1000;
    const late = await installer.get(url);
    assert.equal(late.code, 403);
    assert.match(late.text, /expired/);

    installer.hub.clock.offsetMilliseconds = 0;
    const { client } = installer.hub.hub;
    await client.delete(enrollmentTokens, { name: 'site-shop' });
    assert.equal((await installer.get(url)).code, 403);
    await installer.makeToken();
    assert.equal((await installer.get(url)).code, 403, 'a token of the same name is another token');
  });

  test('that was changed anywhere is refused, like any that was never made', async (t) => {
    const installer = await new Installer(t).start();
    await installer.makeToken();
    const url = await installer.url({ rbac: 'minimal' });
    const refusal = (await installer.get(`${new URL(url).origin}/enroll/nothing`)).text;
    assert.match(refusal, /not good/);
    const code = url.slice(url.lastIndexOf('/') + 1);
    const [payload = '', signature = ''] = code.split('.');
    const claims = JSON.parse(Buffer.from(payload, 'base64url').toString()) as { w: InstallWish };
    const greedy = Buffer.from(JSON.stringify({ ...claims, w: { rbac: 'cluster-admin' } })).toString(
      'base64url',
    );
    const other = Buffer.from(JSON.stringify({ ...claims, t: 'site-other' })).toString('base64url');
    const flipped = `${signature.slice(0, -2)}${signature.at(-2) === 'A' ? 'B' : 'A'}${signature.at(-1)}`;
    for (const wrong of [
      `${greedy}.${signature}`,
      `${other}.${signature}`,
      `${payload}.${flipped}`,
      `${payload}.`,
      payload,
      '',
      `${Buffer.from('null').toString('base64url')}.${signature}`,
      `${Buffer.from('{"t":1}').toString('base64url')}.${signature}`,
      `${'A'.repeat(7000)}.${signature}`,
      `${code}%2F`,
    ]) {
      const answer = await installer.get(`${new URL(url).origin}/enroll/${wrong}`);
      assert.equal(answer.code, 403, wrong.slice(0, 40));
      assert.equal(answer.text, refusal);
    }
    assert.equal((await installer.get(url, 'POST')).code, 405);
    assert.equal((await installer.get(url)).code, 200);
  });

  test('stands in no log line and in no message, nor does the token', async (t) => {
    const installer = await new Installer(t).start();
    await installer.makeToken();
    const url = await installer.url();
    const code = url.slice(url.lastIndexOf('/') + 1);
    const answers = [
      await installer.get(`${url}x`),
      await installer.get(url, 'DELETE'),
      await installer.get(url),
    ];
    const secret = objectsOf(answers[2] as Answer).find(({ kind }) => kind === 'Secret');
    const { token } = (secret as KubeObject & { stringData: { token: string } }).stringData;
    const log = installer.lines.join('\n');
    assert.match(log, /manifests of an agent given out/);
    assert.match(log, /request refused/);
    for (const text of [log, answers[0]?.text ?? '', answers[1]?.text ?? '']) {
      assert.ok(!text.includes(code.slice(0, 30)));
      assert.ok(!text.includes(token.slice(0, 30)));
    }
  });

  test('is not made for what cannot be installed', async (t) => {
    const installer = await new Installer(t).start();
    await installer.makeToken();
    await assert.rejects(() => installer.url({ image: 'a b' }), /image "a b" has to be/);
    await assert.rejects(
      () => installer.url({ rbac: 'root' }),
      /rbac has to be minimal, applications, cluster-admin/,
    );
    const many = Array.from({ length: 49 }, (_, n) => `resources.group-${n}.${'x'.repeat(100)}.example`);
    await assert.rejects(() => installer.url({ allow: many }), /too much/);
  });
});
