import assert from 'node:assert/strict';
import { once } from 'node:events';
import { type IncomingMessage, request } from 'node:http';
import { test } from 'node:test';
import { FakeClock } from '@selvedge/testkit';
import { startTestServer } from '../testing/test-server.ts';

test('who sends a body too slowly is answered so, over HTTP/1.1 too', async (t) => {
  const clock = new FakeClock();
  const server = await startTestServer({ clock });
  t.after(() => server.close());
  const outgoing = request(new URL('/apis/example.dev/v1alpha1/namespaces/default/gadgets', server.url), {
    method: 'POST',
    headers: { 'content-type': 'application/json', 'content-length': 1000 },
  });
  t.after(() => outgoing.destroy());
  outgoing.on('error', () => {});
  const answered = once(outgoing, 'response');
  outgoing.write('{');
  let isAnswered = false;
  void answered.then(() => {
    isAnswered = true;
  });
  while (!isAnswered) {
    await clock.advance(10_000);
    await new Promise((resolve) => setImmediate(resolve));
  }
  const [response] = (await answered) as [IncomingMessage];
  assert.equal(response.statusCode, 504);
  assert.equal(response.headers.connection, 'close');
  const chunks: Buffer[] = [];
  response.on('data', (chunk: Buffer) => chunks.push(chunk));
  await once(response, 'end');
  assert.match(Buffer.concat(chunks).toString(), /did not arrive within 60 s/);
});
