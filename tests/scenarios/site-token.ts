import { enrollmentTokens, type KubeObject } from '@selvedge/api';
import { type HttpClient, resourcePath } from '@selvedge/kube';

/** A token with which an agent joins the site; the address of the hub in it is this port of 127.0.0.1, a link that can be cut. */
export async function tokenThrough(client: HttpClient, site: string, port: number): Promise<string> {
  await client.create(enrollmentTokens, {
    apiVersion: 'selvedge.dev/v1alpha1',
    kind: 'EnrollmentToken',
    metadata: { name: site },
    spec: { siteName: site },
  } as KubeObject);
  const answer = await client.request<KubeObject & { status: { token: string } }>({
    method: 'POST',
    path: resourcePath(enrollmentTokens, { name: site, subresource: 'token' }),
    body: { apiVersion: 'selvedge.dev/v1alpha1', kind: 'EnrollmentTokenRequest', metadata: { name: site } },
  });
  const [prefix, text = ''] = answer.status.token.split('.');
  const claims = JSON.parse(Buffer.from(text, 'base64url').toString()) as { hubs: string[] };
  claims.hubs = [`https://127.0.0.1:${port}`];
  return `${prefix}.${Buffer.from(JSON.stringify(claims)).toString('base64url')}`;
}
