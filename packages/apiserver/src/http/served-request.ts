import { randomUUID } from 'node:crypto';
import { type Clock, isStatusError, type Logger } from '@selvedge/api';
import type { Auditor } from '../audit/auditor.ts';
import type { RequestAudit } from '../audit/request-audit.ts';
import type { UserInfo } from '../authentication/user-info.ts';
import type { FlowPlace } from '../flow-control/flow-control.ts';
import type { RequestLabels, RequestSeries, ServerMetrics } from '../metrics/server-metrics.ts';
import type { ApiRequest, ApiResponse } from './exchange.ts';
import type { RequestInfo } from './request-info.ts';
import { unreadable } from './request-labels.ts';
import { ResponseMeter } from './response-meter.ts';

export interface ServedRequestContext {
  readonly clock: Clock;
  readonly logger: Logger;
  readonly metrics: ServerMetrics;
  readonly auditor: Auditor | undefined;
  /** Told when everything about the request is over. */
  readonly onEnd: () => void;
}

/** A client that goes away before its answer; nginx's number for it. */
const clientClosedRequest = 499;
const slowMs = 1_000;
/** Time that a client may take for an answer: a grace, and a speed that every usable link has. */
const readGraceMs = 60_000;
/** So much goes into the buffers of the connection: not worth a timer. */
const unwatchedBytes = 64 * 1024;
const readBytesPerMs = 32;

/** What is noted of one request from its first line to its end: for metrics, audit, log and limits. */
export class ServedRequest {
  readonly req: ApiRequest;
  readonly res: ApiResponse;
  readonly auditId: string;
  readonly #context: ServedRequestContext;
  /** Ends it in good order, when it is long-running. */
  drain: () => void = () => {};
  readonly #meter: ResponseMeter;
  readonly #receivedAt: Date;
  readonly #start = performance.now();
  #workStart: number | undefined;
  #labels: RequestLabels = unreadable;
  #series: RequestSeries | undefined;
  #isLongRunning = false;
  #audit: RequestAudit | undefined;
  #place: FlowPlace | undefined;
  #user: UserInfo | undefined;
  #gone: AbortController | undefined;
  #isHandled = false;
  #isAnswered = false;
  #isOver = false;
  #isBroken = false;

  constructor(req: ApiRequest, res: ApiResponse, context: ServedRequestContext) {
    this.req = req;
    this.res = res;
    this.#context = context;
    this.#receivedAt = context.clock.now();
    this.auditId = auditIdOf(req);
    this.#meter = new ResponseMeter(req, res);
    res.setHeader('Audit-Id', this.auditId);
    // A client that goes away in the middle is no error of ours.
    res.on('error', () => res.destroy());
    res.once('finish', () => this.#answered());
    res.once('close', () => this.#answered());
  }

  /** Fires when the client has its answer or is gone. */
  readonly gone = (): AbortSignal => {
    this.#gone ??= new AbortController();
    if (this.#isAnswered || this.res.destroyed) this.#gone.abort('gone');
    return this.#gone.signal;
  };

  asks(labels: RequestLabels, isLongRunning: boolean): void {
    this.#labels = labels;
    this.#isLongRunning = isLongRunning;
    this.#series = this.#context.metrics.requests(labels);
    if (isLongRunning) this.#series.longRunning().add(1);
  }

  /** The user is known, or known to be unknown: the record of the audit log begins. */
  isFrom(user: UserInfo | undefined, info: RequestInfo): RequestAudit | undefined {
    this.#user = user;
    const { req, auditId } = this;
    const request = { req, info, auditId, receivedAt: this.#receivedAt, isLongRunning: this.#isLongRunning };
    const audit = this.#context.auditor?.begin(request, user);
    this.#audit = audit;
    if (audit?.wantsResponseBody) this.#meter.onChunk = (chunk) => audit.responseBody(chunk);
    if (audit) this.#meter.onHead = (status) => audit.responseStarted(status);
    return audit;
  }

  enters(place: FlowPlace): void {
    this.#place = place;
    if (this.#isOver) place.leave();
    // Who does not read goes on without a seat.
    this.#meter.onFull = () => place.stalls(this.#meter.waitingBytes);
  }

  hasBody(bytes: Buffer): void {
    if (this.#audit?.wantsRequestBody) this.#audit.requestBody(bytes);
  }

  isAbout(object: { readonly name: string; readonly uid?: string }): void {
    this.#audit?.isAbout(object);
  }

  /** Its turn has come. */
  begins(): void {
    this.#workStart = performance.now();
  }

  failed(error: unknown): void {
    this.#audit?.failed(error);
    if (isStatusError(error)) return;
    this.#isBroken = true;
    this.#audit?.panicked();
  }

  /** The handler has done all it will do. */
  handled(): void {
    this.#isHandled = true;
    this.#logSlow();
    if (this.#isAnswered || this.res.destroyed) {
      this.#end();
      return;
    }
    this.#place?.answered(this.#meter.bytes, this.#meter.waitingBytes);
    if (!this.#isLongRunning && this.#meter.waitingBytes > unwatchedBytes) void this.#cutSlowReader();
  }

  #answered(): void {
    this.#isAnswered = true;
    this.#gone?.abort('gone');
    if (this.#isHandled) this.#end();
  }

  async #cutSlowReader(): Promise<void> {
    const patienceMs = readGraceMs + this.#meter.waitingBytes / readBytesPerMs;
    const gone = this.gone();
    if (gone.aborted) return;
    await this.#context.clock.sleep(patienceMs, gone);
    if (gone.aborted) return;
    this.#context.logger.info('slow reader cut', { ...this.#description(), bytes: this.#meter.bytes });
    this.res.destroy();
  }

  #end(): void {
    if (this.#isOver) return;
    this.#isOver = true;
    this.#place?.answered(this.#meter.bytes, 0);
    this.#place?.leave();
    const code = this.res.headersSent ? this.res.statusCode : clientClosedRequest;
    const { metrics, logger } = this.#context;
    const series = this.#series ?? metrics.requests(this.#labels);
    const durationMs = performance.now() - this.#start;
    series.total(code).add(1);
    if (this.#isLongRunning) series.longRunning().add(-1);
    else {
      series.duration.observe(durationMs / 1000);
      series.responseSize.observe(this.#meter.bytes);
    }
    if (!this.#isBroken) this.#audit?.completed(code);
    logger.debug('request', {
      ...this.#description(),
      code,
      bytes: this.#meter.bytes,
      durationMs: Math.round(durationMs),
    });
    this.#context.onEnd();
  }

  #logSlow(): void {
    if (this.#isLongRunning) return;
    const now = performance.now();
    const workMs = now - (this.#workStart ?? now);
    if (workMs < slowMs) return;
    const waitMs = (this.#workStart ?? now) - this.#start;
    this.#context.logger.warn('slow request', {
      ...this.#description(),
      durationMs: Math.round(workMs),
      waitMs: Math.round(waitMs),
    });
  }

  #description() {
    const { verb, group, resource, subresource } = this.#labels;
    const path = (this.req.url ?? '').split('?', 1)[0]?.slice(0, 500);
    return { auditID: this.auditId, verb, group, resource, subresource, path, user: this.#user?.name };
  }
}

/** As Kubernetes: a client or a proxy may have given the request its name. */
function auditIdOf(req: ApiRequest): string {
  const given = req.headers['audit-id'];
  return typeof given === 'string' && /^[\w.-]{1,64}$/.test(given) ? given : randomUUID();
}
