import { isDeepStrictEqual } from 'node:util';
import { type Condition, type MachineScript, machineScripts } from '@selvedge/api';
import { sha256Digest } from '@selvedge/api/node';
import { keysFromInformer, nameOfKey, type ReconcileResult, runController } from '@selvedge/kube';
import { parseScript } from '../../machines/parse-script.ts';
import { withCondition } from '../../rollout/conditions.ts';
import type { ControllerContext } from '../controller-context.ts';

/** Says on each MachineScript what its header says. What the API server lets in can be read; scripts of an earlier version perhaps not any more. */
export function runMachineScriptController(ctx: ControllerContext): Promise<void> {
  const { informers, clock, logger, signal } = ctx;
  return runController({
    name: 'machine-script',
    sources: [keysFromInformer(informers.machineScripts)],
    reconcile: (key) => reconcile(ctx, key),
    clock,
    logger,
    signal,
  });
}

async function reconcile({ client, clock }: ControllerContext, key: string): Promise<ReconcileResult> {
  const script = await client.find<MachineScript>(machineScripts, nameOfKey(key));
  if (!script) return 'done';
  const parsed = parseScript(script.spec.script, script.metadata.name);
  const { ready, facts } = 'errors' in parsed ? refused(parsed.errors) : understood(parsed.metadata);
  const observedGeneration = script.metadata.generation ?? 0;
  const before = script.status?.conditions ?? [];
  const status = {
    ...facts,
    digest: sha256Digest(script.spec.script),
    conditions: withCondition(
      before,
      { type: 'Ready', ...ready, observedGeneration },
      clock.now().toISOString(),
    ),
  };
  if (!isDeepStrictEqual(status, script.status)) {
    await client.updateStatus(machineScripts, { ...script, status });
  }
  return 'done';
}

interface Reading {
  readonly ready: Pick<Condition, 'status' | 'reason' | 'message'>;
  readonly facts: Pick<NonNullable<MachineScript['status']>, 'title' | 'type' | 'timeoutSeconds'>;
}

function refused(errors: readonly { field: string; message: string }[]): Reading {
  const message = errors.map(({ field, message: why }) => `${field}: ${why}`).join('; ');
  return { ready: { status: 'False', reason: 'HeaderInvalid', message }, facts: {} };
}

function understood(
  metadata: Extract<ReturnType<typeof parseScript>, { metadata: unknown }>['metadata'],
): Reading {
  const { title, type, timeoutSeconds } = metadata;
  const message = `It runs as ${type === 'Testing' ? 'a test' : 'a commissioning script'} when machines are inspected.`;
  return {
    ready: { status: 'True', reason: 'Usable', message },
    facts: { ...(title === undefined ? {} : { title }), type, timeoutSeconds },
  };
}
