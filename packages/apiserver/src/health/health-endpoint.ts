import type { CheckResult, Health } from './health.ts';

export interface HealthQuestion {
  readonly path: string;
  readonly isVerbose: boolean;
  readonly exclude: readonly string[];
}

export interface HealthAnswer {
  readonly status: 200 | 404 | 500;
  readonly text: string;
}

const roots = { '/livez': 'live', '/readyz': 'ready', '/healthz': 'live' } as const;

export function isHealthPath(path: string): boolean {
  return /^\/(?:livez|readyz|healthz)(?:\/|$)/.test(path);
}

/**
 * `/livez`, `/readyz` and `/healthz` (an old name of livez), each also with the name of one check behind it. Text as
 * kube-apiserver's. Why a check fails stands in the log only: anybody may ask.
 */
export async function answerHealth(health: Health, question: HealthQuestion): Promise<HealthAnswer> {
  const [, root = '', name] = /^(\/[a-z]+)(?:\/([^/]*))?\/?$/.exec(question.path) ?? [];
  const kind = roots[root as keyof typeof roots];
  if (kind === undefined) return notFound;
  const all = health.names(kind);
  if (name !== undefined && name !== '') {
    if (!all.includes(name)) return notFound;
    const [result] = await health.run([name]);
    return result?.fault === undefined ? ok('ok') : failed(`internal server error: ${name} failed\n`);
  }
  const results = await health.run(all, new Set(question.exclude));
  const isWell = results.every(({ fault }) => fault === undefined);
  if (isWell && !question.isVerbose) return ok('ok');
  const unknown = question.exclude.filter((excluded) => !all.includes(excluded)).slice(0, 10);
  const warning =
    unknown.length > 0
      ? `warn: some health checks cannot be excluded: no matches for ${unknown.map((u) => JSON.stringify(u.slice(0, 64))).join(',')}\n`
      : '';
  const text = `${results.map(lineOf).join('')}${warning}${root.slice(1)} check ${isWell ? 'passed' : 'failed'}\n`;
  return isWell ? ok(text) : failed(text);
}

function lineOf({ name, isExcluded, fault }: CheckResult): string {
  if (isExcluded) return `[+]${name} excluded: ok\n`;
  return fault === undefined ? `[+]${name} ok\n` : `[-]${name} failed: reason withheld\n`;
}

const ok = (text: string): HealthAnswer => ({ status: 200, text });
const failed = (text: string): HealthAnswer => ({ status: 500, text });
const notFound: HealthAnswer = { status: 404, text: '404 page not found\n' };
