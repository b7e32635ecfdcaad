import { canonicalJson, type Machine, machines, type ObjectClient } from '@selvedge/api';
import { setImmediate } from 'node:timers/promises';
import { compileMachineExpression, holdsFor, type MachineExpression } from './machine-expression.ts';

/** What an expression says of one machine. */
export interface ExpressionAnswer {
  readonly has: boolean;
  /** Why there is no answer, where one could be expected: its inventory is known. */
  readonly fault?: string;
}

/** Of a Machine what tells whether an answer still holds. */
type Asked = Pick<Machine, 'metadata' | 'spec'> & {
  readonly status?: Pick<NonNullable<Machine['status']>, 'inventoryDigest'>;
};

interface Remembered {
  readonly facts: string;
  readonly answers: Map<string, ExpressionAnswer>;
}

/**
 * For which machines expressions hold. Answers are remembered as long as what was asked about stays the same: inventories are large, and many, and are
 * read for a question only.
 */
export class ExpressionAnswers {
  readonly #compiled = new Map<string, MachineExpression | string>();
  /** By UID of the machine. */
  readonly #machines = new Map<string, Remembered>();

  /** Why the expression cannot be used at all. */
  faultOf(expression: string): string | undefined {
    const compiled = this.#compile(expression);
    return typeof compiled === 'string' ? compiled : undefined;
  }

  /** The answer that is there already. */
  find(expression: string, machine: Asked): ExpressionAnswer | undefined {
    const known = this.#machines.get(machine.metadata.uid ?? '');
    return known?.facts === factsOf(machine) ? known.answers.get(expression) : undefined;
  }

  /** @param machine with its inventory. */
  ask(expression: string, machine: Machine): ExpressionAnswer {
    const { answers } = this.#remembered(machine);
    const known = answers.get(expression);
    if (known) return known;
    const answer = this.#evaluate(expression, machine);
    answers.set(expression, answer);
    return answer;
  }

  /** Forgets what is there no more. */
  keepOnly(machines: readonly Asked[], expressions: Iterable<string>): void {
    const uids = new Set(machines.map(({ metadata }) => metadata.uid ?? ''));
    for (const uid of this.#machines.keys()) if (!uids.has(uid)) this.#machines.delete(uid);
    const texts = new Set(expressions);
    for (const text of this.#compiled.keys()) if (!texts.has(text)) this.#compiled.delete(text);
    for (const { answers } of this.#machines.values()) {
      for (const text of answers.keys()) if (!texts.has(text)) answers.delete(text);
    }
  }

  #evaluate(text: string, machine: Machine): ExpressionAnswer {
    const expression = this.#compile(text);
    if (typeof expression === 'string') return { has: false };
    try {
      return { has: holdsFor(expression, machine) };
    } catch (error) {
      // Of what was not inspected nobody expects an answer.
      if (machine.status?.inventory === undefined) return { has: false };
      return { has: false, fault: (error as Error).message };
    }
  }

  #remembered(machine: Machine): Remembered {
    const { uid = '' } = machine.metadata;
    const facts = factsOf(machine);
    const present = this.#machines.get(uid);
    if (present?.facts === facts) return present;
    const fresh: Remembered = { facts, answers: new Map() };
    this.#machines.set(uid, fresh);
    return fresh;
  }

  #compile(text: string): MachineExpression | string {
    const known = this.#compiled.get(text);
    if (known !== undefined) return known;
    let compiled: MachineExpression | string;
    try {
      compiled = compileMachineExpression(text);
    } catch (error) {
      compiled = (error as Error).message;
    }
    this.#compiled.set(text, compiled);
    return compiled;
  }
}

/** The answer that is there, or that the machine as it is stored gives: its inventory is read for it. */
export async function readAnswer(
  { client, answers }: { readonly client: ObjectClient; readonly answers: ExpressionAnswers },
  expression: string,
  known: Asked,
): Promise<ExpressionAnswer> {
  const present = answers.find(expression, known);
  if (present !== undefined) return present;
  const machine = await client.find<Machine>(machines, { name: known.metadata.name });
  // Each may take milliseconds: others get their turn in between.
  await setImmediate();
  return machine === undefined ? { has: false } : answers.ask(expression, machine);
}

function factsOf({ metadata: { name, labels = {} }, spec, status }: Asked): string {
  return canonicalJson([name, spec.siteName, labels, status?.inventoryDigest ?? '']);
}
