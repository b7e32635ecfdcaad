import { readFileSync, statSync } from 'node:fs';

interface Target {
  readonly host: string;
  readonly port: number;
  readonly database: string;
  readonly user: string;
}

/**
 * The password that libpq would take from `~/.pgpass`: lines `host:port:database:user:password`, `*` for any, `\` before
 * a colon or backslash. As libpq, a file that others can read is not used.
 */
export function findPassword(path: string, target: Target): string | undefined {
  const wanted = [
    target.host.startsWith('/') ? 'localhost' : target.host,
    String(target.port),
    target.database,
    target.user,
  ];
  for (const line of readLines(path)) {
    const fields = splitFields(line);
    if (fields.length !== 5 || line.startsWith('#')) continue;
    if (wanted.every((value, i) => fields[i] === '*' || fields[i] === value)) return fields[4];
  }
  return undefined;
}

function readLines(path: string): string[] {
  try {
    return (statSync(path).mode & 0o077) === 0 ? readFileSync(path, 'utf8').split(/\r?\n/) : [];
  } catch {
    return []; // there is none, or it is not ours
  }
}

function splitFields(line: string): string[] {
  const fields: string[] = [];
  let field = '';
  for (let i = 0; i < line.length; i++) {
    if (line[i] === ':') {
      fields.push(field);
      field = '';
    } else {
      field += line[i] === '\\' ? (line[++i] ?? '') : line[i];
    }
  }
  return [...fields, field];
}
