import type { KubeObject } from '@selvedge/api';
import type { HealthRule, ObjectHealth } from './object-health.ts';
import { findCondition, groupKind, numberAt } from './read-fields.ts';
import { current, inProgress, ofCondition } from './workload-health.ts';

/** What an application says of the health of its kinds, ready to be asked. */
export interface CompiledHealthRules {
  /** Undefined: there is no rule for this kind. */
  find(apiVersion: string, kind: string): ((object: KubeObject) => ObjectHealth) | undefined;
}

export const noHealthRules: CompiledHealthRules = { find: () => undefined };

/**
 * Never rejects: a rule that cannot be compiled says so as the health of its objects. CEL is loaded only when there is a rule in CEL. The
 * first rule for a kind counts, whatever the version.
 */
export async function compileHealthRules(rules: readonly HealthRule[]): Promise<CompiledHealthRules> {
  if (rules.length === 0) return noHealthRules;
  const judges = new Map<string, (object: KubeObject) => ObjectHealth>();
  for (const rule of rules) {
    const key = groupKind(rule);
    if (!judges.has(key)) judges.set(key, await compileRule(rule));
  }
  return { find: (apiVersion, kind) => judges.get(groupKind({ apiVersion, kind })) };
}

async function compileRule({
  condition,
  current: whenCurrent,
  failed,
}: HealthRule): Promise<(object: KubeObject) => ObjectHealth> {
  const hasFailed = await compileCel(failed);
  const isCurrent = await compileCel(whenCurrent);
  return (object) => {
    const failure = hasFailed?.(object);
    if (failure?.answer === true) {
      return { status: 'Failed', reason: 'HealthRule', message: `it has failed by its rule: ${failed}` };
    }
    if (condition !== undefined) return conditionHealth(object, condition);
    const answer = isCurrent?.(object) ?? { answer: true };
    if (answer.answer === true) return current;
    return answer.error === undefined
      ? inProgress('HealthRule', `not yet true: ${whenCurrent}`)
      : inProgress('HealthRuleError', `its rule has no answer yet (${answer.error}): ${whenCurrent}`);
  };
}

function conditionHealth(object: KubeObject, type: string): ObjectHealth {
  const condition = findCondition(object, type);
  if (!condition) return inProgress('NoCondition', `it has no condition ${type} yet`);
  const generation = numberAt(object, 'metadata.generation');
  const { observedGeneration } = condition;
  if (generation !== undefined && observedGeneration !== undefined && observedGeneration < generation) {
    return inProgress('LatestGenerationNotObserved', `its condition ${type} speaks of an older generation`);
  }
  return condition.status === 'True'
    ? current
    : ofCondition('InProgress', condition, {
        reason: 'NotTrue',
        message: `its condition ${type} is ${condition.status}`,
      });
}

type Cel = (object: KubeObject) => { readonly answer?: boolean; readonly error?: string };

async function compileCel(text: string | undefined): Promise<Cel | undefined> {
  if (text === undefined) return undefined;
  const { compileCondition } = await import('@selvedge/api/cel');
  try {
    const condition = compileCondition(text);
    return (object) => {
      try {
        return { answer: condition.evaluate(object) };
      } catch (error) {
        return { error: messageOf(error) };
      }
    };
  } catch (error) {
    // The hub has checked it; an older agent may know less of the language.
    const why = { error: messageOf(error) };
    return () => why;
  }
}

const messageOf = (error: unknown): string => (error instanceof Error ? error.message : String(error));
