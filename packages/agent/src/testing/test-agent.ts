import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Clock, LogFields, Logger } from '@selvedge/api';
import { systemClock } from '@selvedge/api/node';
import { type AgentOptions, runAgent } from '../agent.ts';
import { noProxy } from '../hub-connection/proxy-settings.ts';
import { MemoryDriver } from './memory-driver.ts';

export interface LogLine {
  readonly level: string;
  readonly message: string;
  readonly fields: LogFields | undefined;
}

export interface TestAgent {
  readonly driver: MemoryDriver;
  readonly log: LogLine[];
  /** Settles when the agent ended by itself or was stopped; rejects with its error. */
  readonly done: Promise<void>;
  stop(): Promise<void>;
  [Symbol.asyncDispose](): Promise<void>;
}

/** An agent in this process, with a driver in memory. */
export function startTestAgent(
  options: Pick<AgentOptions, 'stateDir'> & Partial<AgentOptions> & { driver?: MemoryDriver; clock?: Clock },
): TestAgent {
  const driver =
    options.driver ?? new MemoryDriver(options.clock === undefined ? {} : { clock: options.clock });
  const log: LogLine[] = [];
  const stop = new AbortController();
  const done = runAgent(
    {
      createDriver: () => driver,
      machine: { version: '0.0.0', hostname: 'test', os: 'test', architecture: 'test' },
      proxies: noProxy,
      clock: systemClock,
      logger: listLogger(log),
      longestWaitSeconds: 20,
      ...options,
    },
    stop.signal,
  );
  done.catch(() => {
    // Tests that expect an error await `done` themselves.
  });
  return {
    driver,
    log,
    done,
    async stop() {
      stop.abort();
      await done;
    },
    async [Symbol.asyncDispose]() {
      stop.abort();
      await done.catch(() => {});
    },
  };
}

export function listLogger(lines: LogLine[]): Logger {
  const write = (level: string) => (message: string, fields?: LogFields) => {
    lines.push({ level, message, fields });
  };
  return {
    debug: write('debug'),
    info: write('info'),
    warn: write('warn'),
    error: write('error'),
    child: () => listLogger(lines),
  };
}

/** Polls until the condition holds; generous, as machines are slow at times. */
export async function eventually(
  what: string,
  condition: () => boolean | Promise<boolean>,
  seconds = 60,
): Promise<void> {
  const deadlineMs = performance.now() + seconds * 1000;
  while (!(await condition())) {
    if (performance.now() > deadlineMs) throw new Error(`waited ${seconds} s in vain until ${what}`);
    await systemClock.sleep(20);
  }
}

export async function makeStateDir(): Promise<{ path: string } & AsyncDisposable> {
  const path = await mkdtemp(join(tmpdir(), 'selvedge-agent-'));
  return { path, [Symbol.asyncDispose]: () => rm(path, { recursive: true, force: true }) };
}

/** This machine's clock, wrong by so much. */
export function wrongClock(offsetMs: number): Clock {
  return {
    now: () => new Date(systemClock.now().getTime() + offsetMs),
    sleep: (milliseconds, signal) => systemClock.sleep(milliseconds, signal),
  };
}
