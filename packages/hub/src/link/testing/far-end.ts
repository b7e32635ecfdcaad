import { once } from 'node:events';
import {
  type IncomingHttpHeaders,
  performServerHandshake,
  type ServerHttp2Session,
  type ServerHttp2Stream,
} from 'node:http2';
import type { Duplex } from 'node:stream';
import { linkPath, linkProtocol } from '@selvedge/api';
import { MessageStream, socketFor } from '@selvedge/api/node';
import { WebSocket } from 'ws';
import type { TestAgent } from '../../gateway/testing/test-agent.ts';

export type SiteHandler = (stream: ServerHttp2Stream, headers: IncomingHttpHeaders) => void;

/** An agent's end of the link, written from the protocol's text: it does with requests what a test says. */
export class FarEnd {
  readonly agent: TestAgent;
  readonly ca: string;
  handler: SiteHandler = (stream) => {
    stream.respond({ ':status': 200 });
    stream.end('ok');
  };
  /** Another hub than the one that it polls. */
  openAt: string | undefined;
  /** Opens of the link, refused ones too. */
  opened = 0;
  session: ServerHttp2Session | undefined;
  transport: Duplex | undefined;
  socket: WebSocket | undefined;
  readonly #stop = new AbortController();
  #polling: Promise<void> | undefined;

  constructor(agent: TestAgent, ca: string) {
    this.agent = agent;
    this.ca = ca;
  }

  /** Polls the hub, and opens the link when asked. */
  poll(): this {
    this.#polling = this.#run();
    return this;
  }

  /** Resolves when the link is open. */
  async open(): Promise<void> {
    const url = this.openAt ?? this.agent.url;
    this.opened += 1;
    const socket = new WebSocket(`${url.replace('https', 'wss')}${linkPath}`, linkProtocol, {
      ca: this.ca,
      headers: { authorization: `Bearer ${await this.agent.jwt('')}` },
      perMessageDeflate: false,
    });
    socket.on('error', () => {});
    this.socket = socket;
    await once(socket, 'open');
    const transport = new MessageStream(socket);
    transport.on('error', () => {});
    this.transport = transport;
    const session = performServerHandshake(await socketFor(transport), {
      settings: { enableConnectProtocol: true },
    });
    session.on('error', () => {});
    session.on('stream', (stream, headers) => {
      stream.on('error', () => {});
      this.handler(stream, headers);
    });
    this.session = session;
  }

  /** Without a farewell. */
  cut(): void {
    this.socket?.terminate();
  }

  async stop(): Promise<void> {
    this.#stop.abort();
    this.cut();
    await this.#polling;
  }

  async #run(): Promise<void> {
    const { signal } = this.#stop;
    while (!signal.aborted) {
      const { code, body } = await this.agent
        .sync({}, { signal })
        .catch(() => ({ code: 0, body: undefined }));
      if (signal.aborted || code !== 200) return;
      if (body?.state) await this.agent.accept(body.state);
      if (body?.openLink === true) await this.open().catch(() => undefined);
    }
  }
}
