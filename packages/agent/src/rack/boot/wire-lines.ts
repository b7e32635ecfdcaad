import { type MachineErrorReason, machineErrorReasons, type MachineStep, machineSteps } from '@selvedge/api';
import { HttpRefusal } from './http-answer.ts';
import type { TaskResult } from './machine-desk.ts';

/** Values of a body of `key value` lines, by key, in their order. Control characters are dropped; more than `mostLines` are refused. */
function parseLines(body: string): ReadonlyMap<string, readonly string[]> {
  const lines = body.split('\n');
  if (lines.length > mostLines) throw new HttpRefusal(400, `at most ${mostLines} lines`);
  const values = new Map<string, string[]>();
  for (const line of lines) {
    const [, key, value] = /^([a-zA-Z][a-zA-Z0-9-]{0,39})(?: (.*))?$/.exec(line.trimEnd()) ?? [];
    if (key === undefined) continue;
    const list = values.get(key) ?? [];
    list.push(oneLine(value ?? ''));
    values.set(key, list);
  }
  return values;
}

export interface SessionProof {
  readonly nonce: string;
  readonly macAddresses: readonly string[];
  readonly uuid?: string;
  readonly serial?: string;
}

export function parseSessionProof(body: string): SessionProof {
  const lines = parseLines(body);
  const nonce = lines.get('nonce')?.[0];
  if (nonce === undefined || !/^[\w-]{1,128}$/.test(nonce)) throw new HttpRefusal(400, 'nonce is missing');
  const macAddresses = (lines.get('mac') ?? []).flatMap((text) => parseMac(text) ?? []);
  const uuid = parseUuid(lines.get('uuid')?.[0]);
  const serial = parseSerial(lines.get('serial')?.[0]);
  return {
    nonce,
    macAddresses: [...new Set(macAddresses)].slice(0, mostMacAddresses),
    ...(uuid === undefined ? {} : { uuid }),
    ...(serial === undefined ? {} : { serial }),
  };
}

/** Body of `POST /machine/v1/task/N`. */
export function parseTaskResult(body: string): TaskResult {
  const marker = /^output *\r?$/m.exec(body);
  const head = marker === null ? body : body.slice(0, marker.index);
  const output = marker === null ? undefined : body.slice(marker.index).replace(/^output *\r?\n?/, '');
  const lines = parseLines(head);
  const status = resultStatuses.find((known) => known === lines.get('status')?.[0]);
  if (status === undefined) throw new HttpRefusal(400, `status is one of ${resultStatuses.join(', ')}`);
  const reason = machineErrorReasons.find((known) => known === lines.get('reason')?.[0]);
  const message = lines.get('message')?.[0];
  const exitCode = wholeNumber(lines.get('exit')?.[0]);
  const durationSeconds = wholeNumber(lines.get('seconds')?.[0]);
  const values = parseValues(lines.get('value') ?? []);
  return {
    status,
    ...(reason === undefined ? {} : { reason: reason satisfies MachineErrorReason }),
    ...(message === undefined || message === '' ? {} : { message: message.slice(0, longestMessage) }),
    ...(exitCode === undefined ? {} : { exitCode }),
    ...(durationSeconds === undefined ? {} : { durationSeconds }),
    ...(values === undefined ? {} : { values }),
    ...(output === undefined ? {} : { output }),
  };
}

export function parseProgress(body: string): { step: MachineStep; done: number; total: number } {
  const lines = parseLines(body);
  const step = machineSteps.find((known) => known === lines.get('step')?.[0]);
  const done = wholeNumber(lines.get('done')?.[0]);
  const total = wholeNumber(lines.get('total')?.[0]);
  if (step === undefined || done === undefined || total === undefined) {
    throw new HttpRefusal(400, 'step, done and total are needed');
  }
  return { step, done: Math.min(done, total), total };
}

/** Lower case with colons; undefined for what is none, a multicast or the zero address. */
export function parseMac(text: string | undefined): string | undefined {
  const [, digits] = /^((?:[0-9a-f]{2}[:-]?){5}[0-9a-f]{2})$/i.exec(text?.trim() ?? '') ?? [];
  const mac = digits
    ?.toLowerCase()
    .replaceAll(/[:-]/g, '')
    .replaceAll(/(..)(?=.)/g, '$1:');
  if (mac === undefined || mac === '00:00:00:00:00:00') return undefined;
  return Number.parseInt(mac.slice(0, 2), 16) % 2 === 1 ? undefined : mac;
}

export function parseUuid(text: string | undefined): string | undefined {
  const uuid = text?.trim().toLowerCase() ?? '';
  return /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/.test(uuid) ? uuid : undefined;
}

/** A name that a vendor gave: one line, without what a terminal or a page would read as more. */
export function parseSerial(text: string | undefined): string | undefined {
  const serial = oneLine(text ?? '')
    .trim()
    .slice(0, 128);
  return serial === '' ? undefined : serial;
}

const mostLines = 2000;
const mostMacAddresses = 64;
const mostValues = 200;
const longestMessage = 1000;
const resultStatuses = ['ok', 'failed', 'degraded', 'skipped', 'timedout'] as const;

function parseValues(lines: readonly string[]): Record<string, string> | undefined {
  const entries = lines.slice(0, mostValues).flatMap((line) => {
    const [, key, text] = /^(\S{1,100})(?: (.*))?$/.exec(line) ?? [];
    return key === undefined || key === '__proto__'
      ? []
      : [[key, (text ?? '').slice(0, longestMessage)] as const];
  });
  return entries.length === 0 ? undefined : Object.fromEntries(entries);
}

function wholeNumber(text: string | undefined): number | undefined {
  const value = /^\d{1,16}$/.test(text ?? '') ? Number(text) : Number.NaN;
  return Number.isSafeInteger(value) ? value : undefined;
}

const oneLine = (text: string) => text.replaceAll(/[\p{Cc}\p{Cf}\u2028\u2029\uFFFD]+/gu, ' ').trimEnd();
