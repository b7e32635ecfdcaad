import { Worker } from 'node:worker_threads';
import type { KubeObject } from '@selvedge/api';
import { Limiter } from '../../concurrency/limiter.ts';
import { SourceError } from '../source-reading.ts';
import type { ManifestText, ParsedTexts, ParsedValue } from './manifest-texts.ts';
import type { WorkerTask } from './manifest-worker.ts';

/** Most characters of all texts together. */
export const maxTextCharacters = 8 * 1024 * 1024;
const timeoutMilliseconds = 30_000;

/** Beside this file in the sources; in a bundle beside the bundle, under this name (tools/build.ts). */
const program = new URL(
  import.meta.url.endsWith('.ts') ? './manifest-worker.ts' : './selvedge-manifest-worker.mjs',
  import.meta.url,
);

const threads = new Limiter(2);

/**
 * Kubernetes objects of YAML and JSON texts, in order. In a thread of its own, with limits on size, time and memory, so that no
 * text of others holds up the hub. Throws `SourceError`.
 */
export function parseManifests(texts: readonly ManifestText[], signal: AbortSignal): Promise<KubeObject[]> {
  const characters = texts.reduce((sum, { text }) => sum + text.length, 0);
  if (characters > maxTextCharacters) {
    return Promise.reject(
      new SourceError(
        'LimitExceeded',
        `The manifests have ${characters} characters, the limit is ${maxTextCharacters}: split the application.`,
      ),
    );
  }
  return threads.run(async () => {
    const parsed = await runThread<ParsedTexts>({ manifests: texts }, signal);
    if ('manifests' in parsed) return parsed.manifests;
    throw new SourceError(parsed.fault, `${parsed.message}.`);
  });
}

/** The value of one YAML or JSON text, in the same way. Throws `SourceError`. */
export async function parseValue(text: ManifestText, signal: AbortSignal): Promise<unknown> {
  return threads.run(async () => {
    const parsed = await runThread<ParsedValue>({ value: text }, signal);
    if ('value' in parsed) return parsed.value;
    throw new SourceError(parsed.fault, `${parsed.message}.`);
  });
}

async function runThread<T>(task: WorkerTask, signal: AbortSignal): Promise<T> {
  signal.throwIfAborted();
  const ending = AbortSignal.any([signal, AbortSignal.timeout(timeoutMilliseconds)]);
  const worker = new Worker(program, {
    workerData: task,
    resourceLimits: { maxOldGenerationSizeMb: 384, maxYoungGenerationSizeMb: 32 },
    // Of the hub's environment nothing is needed.
    env: {},
  });
  try {
    return await new Promise<T>((resolve, reject) => {
      worker.on('message', resolve);
      worker.on('error', reject);
      worker.on('exit', () => reject(new Error('the thread has ended')));
      ending.addEventListener('abort', () => reject(ending.reason as Error), { once: true });
    });
  } catch (cause) {
    signal.throwIfAborted();
    const isMemory = (cause as { code?: unknown }).code === 'ERR_WORKER_OUT_OF_MEMORY';
    if (!ending.aborted && !isMemory) throw cause;
    const why = isMemory ? 'memory' : 'time';
    throw new SourceError(
      'LimitExceeded',
      `Reading the manifests takes too much ${why}: make them smaller.`,
      {
        cause,
      },
    );
  } finally {
    await worker.terminate();
  }
}
