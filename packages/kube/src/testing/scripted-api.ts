import { createServer, type IncomingMessage, type RequestListener, type ServerResponse } from 'node:http';
import { createServer as createTlsServer, type ServerOptions } from 'node:https';
import type { AddressInfo } from 'node:net';

export interface ScriptedRequest {
  readonly method: string;
  readonly path: string;
  readonly query: URLSearchParams;
  readonly headers: IncomingMessage['headers'];
  readonly body: string;
  readonly req: IncomingMessage;
}

/** A real HTTP server whose answers a test writes byte by byte, for what a well-behaved API server never does. */
export interface ScriptedApi extends AsyncDisposable {
  readonly url: string;
  readonly requests: ScriptedRequest[];
}

export async function startScriptedApi(
  answer: (request: ScriptedRequest, res: ServerResponse) => void | Promise<void>,
  tls?: ServerOptions,
): Promise<ScriptedApi> {
  const requests: ScriptedRequest[] = [];
  const listener: RequestListener = (req, res) => {
    void (async () => {
      let body = '';
      for await (const chunk of req) body += String(chunk);
      const url = new URL(req.url ?? '/', 'http://scripted');
      const request: ScriptedRequest = {
        method: req.method ?? '',
        path: url.pathname,
        query: url.searchParams,
        headers: req.headers,
        body,
        req,
      };
      requests.push(request);
      await answer(request, res);
    })();
  };
  const server = tls ? createTlsServer(tls, listener) : createServer(listener);
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  return {
    url: `${tls ? 'https' : 'http'}://127.0.0.1:${port}`,
    requests,
    async [Symbol.asyncDispose]() {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

export function sendJson(res: ServerResponse, code: number, body: unknown): void {
  res.writeHead(code, { 'content-type': 'application/json' });
  res.end(JSON.stringify(body));
}
