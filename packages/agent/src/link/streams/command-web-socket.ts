import { PassThrough, Writable } from 'node:stream';
import type { RawData, WebSocket } from 'ws';
import { type CommandChannels, type CommandStatus, emptyInput, TerminalSizes } from './command-session.ts';
import type { RemoteCommand } from './stream-backend.ts';
import type { AcceptedWebSocket } from './web-socket.ts';

/** Sub-protocols of exec and attach, best first. From v5 on the client can close its standard input. */
export const commandProtocols = ['v5.channel.k8s.io', 'v4.channel.k8s.io', 'channel.k8s.io'] as const;

const channel = { stdin: 0, stdout: 1, stderr: 2, error: 3, resize: 4, close: 255 } as const;
const normalClosure = 1000;

/** Channels in a WebSocket: the first byte of each binary message says which. */
export function webSocketChannels(
  { webSocket, gone }: Pick<AcceptedWebSocket, 'webSocket' | 'gone'>,
  protocol: string,
  command: RemoteCommand,
): CommandChannels {
  const stdin = command.hasStdin ? new PassThrough({ highWaterMark: 64 * 1024 }) : undefined;
  const sizes = new TerminalSizes();
  const canClose = protocol === 'v5.channel.k8s.io';
  stdin?.on('drain', () => webSocket.resume());
  // Nobody reads it any more.
  stdin?.on('close', () => webSocket.resume());
  webSocket.on('message', (data: RawData) => {
    const message = data as Buffer;
    const payload = message.subarray(1);
    switch (message[0]) {
      case channel.stdin:
        if (stdin?.writable && payload.length > 0 && !stdin.write(payload)) webSocket.pause();
        break;
      case channel.resize:
        sizes.take(payload);
        break;
      case channel.close:
        if (canClose && payload[0] === channel.stdin) stdin?.end();
        break;
      default:
    }
  });
  webSocket.on('error', () => webSocket.terminate());
  gone.addEventListener('abort', () => stdin?.destroy(), { once: true });
  const output = (number: number, isWanted: boolean) => outputOf(webSocket, number, isWanted);
  const stdout = output(channel.stdout, command.hasStdout);
  const stderr = output(channel.stderr, command.hasStderr && !command.isTerminal);
  // Tells the client at once that it is connected, as the kubelet does.
  const first = command.hasStdout ? channel.stdout : command.hasStderr ? channel.stderr : channel.error;
  webSocket.send(Buffer.from([first]));
  return {
    stdin: stdin ?? emptyInput(),
    stdout,
    stderr,
    sizes,
    signal: gone,
    finish: (status) => {
      webSocket.send(Buffer.concat([Buffer.from([channel.error]), statusBytes(protocol, status)]));
      webSocket.close(normalClosure);
      // What the client still sends must not keep its closing from being read.
      stdin?.destroy();
    },
  };
}

function statusBytes(protocol: string, status: CommandStatus): Buffer {
  if (protocol !== 'channel.k8s.io') return Buffer.from(JSON.stringify(status));
  return Buffer.from(status.status === 'Success' ? '' : (status.message ?? ''));
}

function outputOf(webSocket: WebSocket, number: number, isWanted: boolean): Writable {
  return new Writable({
    highWaterMark: 64 * 1024,
    write: (chunk: Buffer, _encoding, callback) => {
      if (!isWanted) callback();
      else webSocket.send(Buffer.concat([Buffer.from([number]), chunk]), callback);
    },
  });
}
