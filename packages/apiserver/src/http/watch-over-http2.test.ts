import { connect, constants, createServer } from 'node:http2';
import type { AddressInfo } from 'node:net';
import { test } from 'node:test';
import { type ConfigMap, configMaps } from '@selvedge/api';
import { admin, eventually, startTestServer } from '../testing/test-server.ts';

const configMap = { apiVersion: 'v1', kind: 'ConfigMap' } as const;

test('over HTTP/2 a watch ends with its stream, however the client closes it', async (t) => {
  const server = await startTestServer();
  t.after(() => server.close());
  let open = 0;
  const http2 = createServer((req, res) => {
    open++;
    res.once('close', () => open--);
    void server.api.handle(req, res, { certificateUser: admin });
  });
  await new Promise<void>((resolve) => http2.listen(0, '127.0.0.1', resolve));
  const session = connect(`http://127.0.0.1:${(http2.address() as AddressInfo).port}`);
  t.after(async () => {
    session.destroy();
    await new Promise((resolve) => http2.close(resolve));
  });
  // More than a connection takes while nobody reads: the server still has something to write when the client goes.
  for (const name of ['a', 'b', 'c', 'd']) {
    const metadata = { name, namespace: 'default' };
    await server.client.create<ConfigMap>(configMaps, {
      ...configMap,
      metadata,
      data: { a: 'x'.repeat(100_000) },
    });
  }
  for (const code of [constants.NGHTTP2_NO_ERROR, constants.NGHTTP2_CANCEL]) {
    const stream = session.request({ ':path': '/api/v1/configmaps?watch=true' });
    await new Promise((resolve) => stream.once('response', resolve));
    stream.close(code);
    await eventually(async () => (open === 0 ? true : undefined));
  }
});
