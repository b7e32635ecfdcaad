import { stringify } from 'yaml';

/** What templates of the chart can name. */
export interface RenderContext {
  readonly Values: Readonly<Record<string, unknown>>;
  readonly Release: Readonly<Record<string, unknown>>;
}

/**
 * Renders the part of Helm's templates that our chart uses: `if` with a value, `eq` or `not`; values; `default`, `quote`, `toYaml`, `nindent`; `{{-`.
 * Throws for everything else, so that the chart stays within it.
 */
export function renderTemplate(text: string, context: RenderContext): string {
  const output: string[] = [];
  /** Of each open `if`, whether its part is shown. */
  const shown: boolean[] = [];
  let at = 0;
  for (const match of text.matchAll(/\{\{(-?) (.*?) \}\}/g)) {
    const before = text.slice(at, match.index);
    if (shown.every(Boolean)) output.push(match[1] === '-' ? before.trimEnd() : before);
    at = match.index + match[0].length;
    const action = match[2] ?? '';
    if (action.startsWith('if ')) shown.push(isTrue(action.slice(3), context));
    else if (action === 'end') {
      if (shown.pop() === undefined) throw new Error('an end without if');
    } else if (shown.every(Boolean)) output.push(String(evaluate(action, context)));
  }
  if (shown.length > 0) throw new Error('an if without end');
  return output.join('') + text.slice(at);
}

function isTrue(condition: string, context: RenderContext): boolean {
  const comparison = /^eq (\S+) "(.*)"$/.exec(condition);
  if (comparison !== null) return valueOf(comparison[1] ?? '', context) === comparison[2];
  const negated = /^not (\S+)$/.exec(condition);
  if (negated !== null) return !isFilled(valueOf(negated[1] ?? '', context));
  return isFilled(valueOf(condition, context));
}

/** Go's idea of what is empty. */
function isFilled(value: unknown): boolean {
  if (Array.isArray(value)) return value.length > 0;
  if (typeof value === 'object' && value !== null) return Object.keys(value).length > 0;
  return value !== '' && value !== false && value !== 0 && value !== null && value !== undefined;
}

function evaluate(action: string, context: RenderContext): unknown {
  const [first = '', ...functions] = action.split(' | ');
  const isYaml = first.startsWith('toYaml ');
  const value = valueOf(isYaml ? first.slice('toYaml '.length) : first, context);
  return functions.reduce(apply, isYaml ? stringify(value).trimEnd() : value);
}

function apply(value: unknown, call: string): unknown {
  const [name, argument = ''] = call.split(' ');
  if (name === 'quote') return JSON.stringify(String(value));
  if (name === 'default') return isFilled(value) ? value : JSON.parse(argument);
  if (name === 'nindent') return `\n${String(value).replaceAll(/^/gm, ' '.repeat(Number(argument)))}`;
  throw new Error(`templates of the chart use no ${name}`);
}

function valueOf(path: string, context: RenderContext): unknown {
  if (!/^\.(Values|Release)(\.\w+)+$/.test(path))
    throw new Error(`templates of the chart do not name ${path}`);
  let value: unknown = context;
  for (const key of path.slice(1).split('.')) value = (value as Record<string, unknown> | undefined)?.[key];
  if (value === undefined) throw new Error(`the chart has no value ${path}`);
  return value;
}
