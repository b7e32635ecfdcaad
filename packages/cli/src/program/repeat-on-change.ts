import { isStatusError, type ResourceRef } from '@selvedge/api';
import { createLogger } from '@selvedge/api/node';
import { createInformer, type HttpClient } from '@selvedge/kube';
import { type ExitCode, exitCode } from './exit-code.ts';
import type { CommandContext } from './terminal.ts';

/** A burst of changes is one reading. */
const settleMilliseconds = 300;

export interface Watched {
  readonly resource: ResourceRef;
  readonly namespace?: string | undefined;
  /** Only this object. */
  readonly name?: string;
  /** Only those, as `kubectl` writes it. */
  readonly labelSelector?: string | undefined;
  readonly fieldSelector?: string | undefined;
}

/**
 * Calls `show` again whenever something watched has changed, and at least every `refreshMilliseconds`, until it says that it
 * is done or the signal fires. A hub out of reach is waited for. Returns how to exit.
 */
export async function repeatOnChange(
  { client, ctx, signal }: { client: HttpClient; ctx: CommandContext; signal: AbortSignal },
  { watched, refreshMilliseconds }: { watched: readonly Watched[]; refreshMilliseconds: number },
  show: () => Promise<{ exit: ExitCode; isDone: boolean }>,
): Promise<ExitCode> {
  const { clock } = ctx.process;
  let markChanged: () => void = () => undefined;
  const stop = new AbortController();
  // That it changed is all that has to be known: `show` reads what it needs.
  const common = { client: client.metadata, clock, logger: createLogger({ level: 'silent' }) };
  const informers = watched.map(({ resource, namespace, name, labelSelector, fieldSelector }) =>
    createInformer({
      ...common,
      resource,
      ...(namespace === undefined ? {} : { namespace }),
      ...(labelSelector === undefined ? {} : { labelSelector }),
      ...(fieldSelector === undefined ? {} : { fieldSelector }),
      ...(name === undefined ? {} : { fieldSelector: `metadata.name=${name}` }),
    }),
  );
  const onChange = () => markChanged();
  for (const informer of informers) informer.onChange({ add: onChange, update: onChange, delete: onChange });
  const running = Promise.all(informers.map((informer) => informer.run(stop.signal)));
  let last: ExitCode = exitCode.ok;
  try {
    while (!signal.aborted) {
      const changed = new Promise<void>((resolve) => {
        markChanged = resolve;
      });
      try {
        const shown = await show();
        last = shown.exit;
        if (shown.isDone) break;
      } catch (error) {
        if (!isStatusError(error, 'ServiceUnavailable')) throw error;
        last = exitCode.unreachable;
        ctx.hint(`selvedge: ${error.message}; trying again`);
      }
      const waiting = new AbortController();
      const end = () => waiting.abort();
      signal.addEventListener('abort', end, { once: true });
      await Promise.race([changed, clock.sleep(refreshMilliseconds, waiting.signal)]);
      end();
      signal.removeEventListener('abort', end);
      await clock.sleep(settleMilliseconds, signal);
    }
  } finally {
    stop.abort();
    await running;
  }
  return last;
}
