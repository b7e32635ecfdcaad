import fc from 'fast-check';
import { FuzzConnection, type FuzzServer, sendRaw } from './fuzz-connection.ts';
import { type FuzzRequest, fuzzRequests, type FuzzTarget } from './fuzz-request.ts';
import { hostileTexts } from './hostile-values.ts';

export interface FuzzOptions {
  readonly server: FuzzServer;
  readonly target: FuzzTarget;
  readonly seed: number;
  /** Requests to be sent. */
  readonly requests: number;
  /** Of the server, after garbage collection, when it runs in this process. */
  readonly heapBytes: () => number;
  /** Puts things back between rounds, so that what the fuzzer has made does not pile up. */
  readonly tidy: () => Promise<void>;
}

export interface FuzzResult {
  readonly requests: number;
  /** How many answers had which status; 0: refused without one. */
  readonly statuses: Readonly<Record<number, number>>;
  readonly heapGrowthBytes: number;
  /** What the server could not take: a 5xx, no answer, a header that was injected. The first 20. */
  readonly findings: readonly string[];
}

const batch = 250;
const parallel = 16;
const maxFindings = 20;
/** Overload and storage that cannot write are no faults; everything else above 499 is one. */
const allowed = new Set([503, 504]);

/** Rejects when the server is of no use any more. */
export async function fuzzHttp(options: FuzzOptions): Promise<FuzzResult> {
  const { server, target, requests, heapBytes, tidy } = options;
  const arbitrary = fuzzRequests(target);
  const connection = new FuzzConnection(server);
  const statuses: Record<number, number> = {};
  const findings: string[] = [];
  const note = (finding: string | undefined) => {
    if (finding !== undefined && findings.length < maxFindings) findings.push(finding);
  };
  let sent = 0;
  let heapBefore = 0;
  try {
    for (let round = 0; sent < requests; round += 1) {
      const seed = options.seed + round;
      const samples = fc.sample(arbitrary, { numRuns: Math.min(batch, requests - sent), seed });
      const queue = samples.values();
      const work = async () => {
        for (const request of queue) {
          const status = await connection.send(request).catch(messageOf);
          if (typeof status === 'number') statuses[status] = (statuses[status] ?? 0) + 1;
          note(faultOf(status, request));
        }
      };
      await Promise.all(Array.from({ length: parallel }, work));
      sent += samples.length;
      for (const [protocol, bytes] of rawSamples(samples, seed)) {
        note(faultOfRaw(await sendRaw(server, protocol, bytes), bytes));
        sent += 1;
      }
      await checkUsable(connection, target, seed);
      if (round % 4 === 3) await tidy();
      // The first rounds fill caches and make code.
      if (round === 1) heapBefore = heapBytes();
    }
  } finally {
    connection.close();
  }
  const heapGrowthBytes = heapBefore === 0 ? 0 : heapBytes() - heapBefore;
  return { requests: sent, statuses, heapGrowthBytes, findings };
}

function faultOf(status: number | string, request: FuzzRequest): string | undefined {
  if (typeof status === 'number' && (status < 500 || allowed.has(status))) return undefined;
  return `${status}: ${describe(request)}`;
}

/** It still answers what it should, on the connection that all of this came over. */
async function checkUsable(connection: FuzzConnection, target: FuzzTarget, seed: number): Promise<void> {
  const good = { method: 'GET', headers: { accept: 'application/json' }, body: undefined };
  for (const path of ['/readyz', target.kinds[0]?.path ?? '/api']) {
    const status = await connection.send({ ...good, path });
    if (status !== 200) throw new Error(`seed ${seed}: afterwards ${path} is answered with ${status}`);
  }
}

const messageOf = (error: unknown): string => (error instanceof Error ? error.message : String(error));

const describe = ({ method, path, headers, body }: FuzzRequest): string =>
  JSON.stringify({
    method,
    path,
    headers,
    body: body && Buffer.from(body).toString('latin1').slice(0, 4_000),
  });

type RawSample = readonly ['http/1.1' | 'h2', Uint8Array];

/** The same requests as text with faults in it, and frames of HTTP/2 that make no sense. */
function rawSamples(requests: readonly FuzzRequest[], seed: number): RawSample[] {
  const faults = fc.sample(
    fc.record({
      at: fc.nat(500),
      piece: fc.oneof(
        fc.constantFrom(
          ...hostileTexts,
          '\r\n\r\n',
          'Content-Length: 5\r\n',
          'Transfer-Encoding: chunked\r\n',
        ),
        fc.constantFrom(
          '\n',
          '\r',
          ':',
          ' HTTP/1.1',
          'Host: a\r\nHost: b\r\n',
          'Upgrade: h2c\r\nConnection: Upgrade\r\n',
        ),
      ),
    }),
    { numRuns: 6, seed },
  );
  const texts = faults.map(({ at, piece }, i): RawSample => {
    const { method, path, headers, body } = requests[i % requests.length] as FuzzRequest;
    const lines = Object.entries(headers).map(([name, held]) => `${name}: ${held}\r\n`);
    const head = `${method} ${path} HTTP/1.1\r\nHost: x\r\n${lines.join('')}Content-Length: ${body?.length ?? 0}\r\n\r\n`;
    const bytes = Buffer.concat([Buffer.from(head, 'latin1'), body ?? Buffer.alloc(0)]);
    const place = at % bytes.length;
    return ['http/1.1', Buffer.concat([bytes.subarray(0, place), Buffer.from(piece), bytes.subarray(place)])];
  });
  const preface = Buffer.from('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n');
  const frames = fc.sample(
    fc.array(
      fc.record({
        type: fc.nat(12),
        flags: fc.nat(255),
        stream: fc.constantFrom(0, 1, 2, 3, 2 ** 31 - 1),
        payload: fc.uint8Array({ maxLength: 64 }),
        lie: fc.constantFrom(0, 0, 0, 1, 70_000),
      }),
      { maxLength: 12 },
    ),
    { numRuns: 6, seed },
  );
  return [
    ...texts,
    ...frames.map((list): RawSample => ['h2', Buffer.concat([preface, ...list.map(frameBytes)])]),
  ];
}

/** RFC 9113 §4.1, with a length that may be a lie. */
function frameBytes(frame: {
  type: number;
  flags: number;
  stream: number;
  payload: Uint8Array;
  lie: number;
}): Buffer {
  const head = Buffer.alloc(9);
  head.writeUIntBE(frame.payload.length + frame.lie, 0, 3);
  head.writeUInt8(frame.type, 3);
  head.writeUInt8(frame.flags, 4);
  head.writeUInt32BE(frame.stream, 5);
  return Buffer.concat([head, frame.payload]);
}

function faultOfRaw(answer: Buffer, bytes: Uint8Array): string | undefined {
  const text = answer.toString('latin1');
  const sent = JSON.stringify(Buffer.from(bytes).toString('latin1'));
  for (const [, code] of text.matchAll(/^HTTP\/1\.1 (\d{3})/gm)) {
    if (Number(code) >= 500 && !allowed.has(Number(code))) return `${code}: ${sent}`;
  }
  return /^x-injected/im.test(text) ? `a header was injected into the answer: ${sent}` : undefined;
}
