import { createServer, type Server } from 'node:https';
import { freePort } from '@selvedge/testkit';

interface AdmissionReview {
  readonly request: {
    readonly uid: string;
    readonly object?: { readonly metadata: { readonly name: string } };
  };
}

/** A validating webhook on loopback that a real kube-apiserver asks. It listens from `start` on; before, connections are refused. */
export class WebhookServer {
  readonly port: number;
  readonly #tls: { readonly key: string; readonly certificate: string };
  /** What it says to an object of this name; undefined: allowed. */
  readonly #refusal: (name: string) => string | undefined;
  #server: Server | undefined;

  private constructor(
    port: number,
    tls: { key: string; certificate: string },
    refusal: (name: string) => string | undefined,
  ) {
    this.port = port;
    this.#tls = tls;
    this.#refusal = refusal;
  }

  static async open(
    tls: { key: string; certificate: string },
    refusal: (name: string) => string | undefined,
  ): Promise<WebhookServer> {
    return new WebhookServer(await freePort(), tls, refusal);
  }

  async start(): Promise<void> {
    const server = createServer({ key: this.#tls.key, cert: this.#tls.certificate }, (req, res) => {
      const chunks: Buffer[] = [];
      req.on('data', (chunk: Buffer) => chunks.push(chunk));
      req.on('end', () => {
        const { request } = JSON.parse(Buffer.concat(chunks).toString()) as AdmissionReview;
        const message = this.#refusal(request.object?.metadata.name ?? '');
        const response = {
          uid: request.uid,
          allowed: message === undefined,
          ...(message === undefined ? {} : { status: { code: 403, message } }),
        };
        res.setHeader('content-type', 'application/json');
        res.end(JSON.stringify({ apiVersion: 'admission.k8s.io/v1', kind: 'AdmissionReview', response }));
      });
    });
    await new Promise<void>((resolve) => server.listen(this.port, '127.0.0.1', resolve));
    this.#server = server;
  }

  /** Its configuration, for ConfigMaps of one namespace. */
  configuration(name: string, namespace: string): object {
    return {
      apiVersion: 'admissionregistration.k8s.io/v1',
      kind: 'ValidatingWebhookConfiguration',
      metadata: { name },
      webhooks: [
        {
          name: 'gate.example.com',
          clientConfig: {
            url: `https://127.0.0.1:${this.port}/validate`,
            caBundle: Buffer.from(this.#tls.certificate).toString('base64'),
          },
          rules: [
            {
              apiGroups: [''],
              apiVersions: ['v1'],
              resources: ['configmaps'],
              operations: ['CREATE', 'UPDATE'],
            },
          ],
          namespaceSelector: { matchLabels: { 'kubernetes.io/metadata.name': namespace } },
          admissionReviewVersions: ['v1'],
          sideEffects: 'None',
          failurePolicy: 'Fail',
          timeoutSeconds: 2,
        },
      ],
    };
  }

  async close(): Promise<void> {
    const server = this.#server;
    if (!server) return;
    server.closeAllConnections();
    await new Promise((resolve) => server.close(resolve));
  }
}
