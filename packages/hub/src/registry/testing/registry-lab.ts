import { readFileSync } from 'node:fs';
import type { IncomingHttpHeaders } from 'node:http';
import { request } from 'node:https';
import { join } from 'node:path';
import type { TestContext } from 'node:test';
import { isAlreadyExists, type KubeObject, namespaces, roleBindings, serviceAccounts } from '@selvedge/api';
import { TestHub } from '../../gateway/testing/test-hub.ts';
import type { HubOptions } from '../../server/hub-options.ts';
import type { TestBlob, TestImageParts } from './test-image.ts';

export interface LabAnswer {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  readonly bytes: Buffer;
  /** Of a refusal. */
  readonly code: string | undefined;
}

export interface LabRequest {
  readonly method?: string;
  readonly path: string;
  /** Default: that of an administrator; '' for none. */
  readonly token?: string;
  readonly headers?: Readonly<Record<string, string | number>>;
  readonly body?: Buffer | string;
  /** The connection is cut after so many bytes of the body. */
  readonly cutAfter?: number;
}

/** A true hub with the namespace `shop`, and clients of its registry. */
export class RegistryLab {
  readonly hub: TestHub;
  readonly administrator: string;
  readonly data: string;

  private constructor(hub: TestHub, data: string) {
    this.hub = hub;
    this.data = data;
    this.administrator = readFileSync(join(data, 'bootstrap-token'), 'utf8').trim();
  }

  static async start(t: TestContext, options: Partial<HubOptions> = {}): Promise<RegistryLab> {
    const hub = await TestHub.start(t, { bootstrapToken: 'on', registryLookup: false, ...options });
    const lab = new RegistryLab(hub, options.data ?? hub.data);
    for (const name of ['shop', 'bank']) {
      const namespace = { apiVersion: 'v1', kind: 'Namespace', metadata: { name } };
      // Another hub on the same database may have it already.
      await lab.create(namespaces, namespace).catch((error: unknown) => {
        if (!isAlreadyExists(error)) throw error;
      });
    }
    return lab;
  }

  /** As in image names. */
  get host(): string {
    return new URL(this.hub.hub.url).host;
  }

  create(...[resource, object]: Parameters<TestHub['hub']['client']['create']>): Promise<KubeObject> {
    return this.hub.hub.client.create(resource, object);
  }

  /** Token of a new ServiceAccount with a ClusterRole in one namespace. */
  async account(namespace: string, name: string, role?: string): Promise<string> {
    const metadata = { namespace, name };
    await this.create(serviceAccounts, { apiVersion: 'v1', kind: 'ServiceAccount', metadata });
    if (role !== undefined) {
      const subject = { kind: 'ServiceAccount', name, namespace };
      await this.bind(namespace, role, subject);
    }
    const answer = await this.ask({
      method: 'POST',
      path: `/api/v1/namespaces/${namespace}/serviceaccounts/${name}/token`,
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ apiVersion: 'authentication.k8s.io/v1', kind: 'TokenRequest', spec: {} }),
    });
    return (JSON.parse(answer.bytes.toString('utf8')) as { status: { token: string } }).status.token;
  }

  async bind(namespace: string, role: string, subject: Record<string, string>): Promise<void> {
    const roleRef = { apiGroup: 'rbac.authorization.k8s.io', kind: 'ClusterRole', name: role };
    const metadata = {
      namespace,
      name: `${role.replace(':', '-')}-${subject['name']?.replaceAll(':', '-')}`,
    };
    const object = { apiVersion: 'rbac.authorization.k8s.io/v1', kind: 'RoleBinding', metadata };
    await this.create(roleBindings, { ...object, roleRef, subjects: [subject] } as KubeObject);
  }

  ask(wanted: LabRequest): Promise<LabAnswer> {
    const { method = 'GET', path, token = this.administrator, headers = {}, body, cutAfter } = wanted;
    const authorization = token === '' ? {} : { authorization: `Bearer ${token}` };
    return new Promise((resolve, reject) => {
      const req = request(
        new URL(path, this.hub.hub.url),
        {
          method,
          rejectUnauthorized: false,
          agent: false,
          headers: {
            ...(body === undefined ? {} : { 'content-length': Buffer.byteLength(body) }),
            ...authorization,
            ...headers,
          },
        },
        (res) => {
          const chunks: Buffer[] = [];
          res.on('data', (chunk: Buffer) => chunks.push(chunk));
          res.on('error', reject);
          res.on('end', () => {
            const bytes = Buffer.concat(chunks);
            const code = (res.statusCode ?? 0) < 400 ? undefined : codeIn(bytes);
            resolve({ status: res.statusCode ?? 0, headers: res.headers, bytes, code });
          });
        },
      ).on('error', reject);
      if (cutAfter === undefined) req.end(body);
      else req.write(Buffer.from(body ?? '').subarray(0, cutAfter), () => setImmediate(() => req.destroy()));
    });
  }

  /** In one request. */
  async upload(repository: string, { digest, bytes }: TestBlob, token?: string): Promise<LabAnswer> {
    const asked = token === undefined ? {} : { token };
    return this.ask({
      ...asked,
      method: 'POST',
      path: `/v2/${repository}/blobs/uploads/?digest=${digest}`,
      headers: { 'content-type': 'application/octet-stream' },
      body: bytes,
    });
  }

  async push(repository: string, tag: string, image: TestImageParts): Promise<void> {
    for (const blob of image.blobs) await this.upload(repository, blob);
    const answer = await this.putManifest(repository, tag, image.manifest);
    if (answer.status !== 201) throw new Error(answer.bytes.toString('utf8'));
  }

  putManifest(
    repository: string,
    reference: string,
    { mediaType, bytes }: { mediaType: string; bytes: Buffer | string },
  ): Promise<LabAnswer> {
    return this.ask({
      method: 'PUT',
      path: `/v2/${repository}/manifests/${reference}`,
      headers: { 'content-type': mediaType },
      body: bytes,
    });
  }
}

function codeIn(bytes: Buffer): string | undefined {
  try {
    const { errors } = JSON.parse(bytes.toString('utf8')) as { errors: { code: string }[] };
    return errors[0]?.code;
  } catch {
    return undefined;
  }
}
