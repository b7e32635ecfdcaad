import { maxDepth } from '@selvedge/api';

export interface JsonScan {
  /** Paths of fields that stand twice in one object; `JSON.parse` would keep the last in silence. */
  readonly duplicates: string[];
  readonly isTooDeep: boolean;
  /** A field has the name `__proto__`, which some code would take for the prototype. */
  readonly hasPrototypeKey: boolean;
}

interface Level {
  /** Absent for a list. */
  readonly keys: Set<string> | undefined;
  readonly path: string;
}

/** One pass over valid JSON text. */
export function scanJson(text: string): JsonScan {
  const duplicates: string[] = [];
  let hasPrototypeKey = false;
  const levels: Level[] = [];
  let expectsKey = false;
  let key = '';
  for (let i = 0; i < text.length; i++) {
    const level = levels.at(-1);
    switch (text.charCodeAt(i)) {
      case 0x22: {
        const end = endOfString(text, i);
        if (expectsKey && level?.keys) {
          key = unquote(text.slice(i, end + 1));
          if (level.keys.has(key)) duplicates.push(level.path === '' ? key : `${level.path}.${key}`);
          hasPrototypeKey ||= key === '__proto__';
          level.keys.add(key);
          expectsKey = false;
        }
        i = end;
        break;
      }
      case 0x7b: // {
        if (levels.length >= maxDepth) return { duplicates, isTooDeep: true, hasPrototypeKey };
        levels.push({ keys: new Set(), path: childPath(level, key) });
        expectsKey = true;
        break;
      case 0x5b: // [
        if (levels.length >= maxDepth) return { duplicates, isTooDeep: true, hasPrototypeKey };
        levels.push({ keys: undefined, path: childPath(level, key) });
        expectsKey = false;
        break;
      case 0x7d: // }
      case 0x5d: // ]
        levels.pop();
        expectsKey = false;
        break;
      case 0x2c: // ,
        expectsKey = level?.keys !== undefined;
        break;
    }
  }
  return { duplicates, isTooDeep: false, hasPrototypeKey };
}

function endOfString(text: string, start: number): number {
  for (let end = text.indexOf('"', start + 1); end >= 0; end = text.indexOf('"', end + 1)) {
    let backslashes = 0;
    while (text.charCodeAt(end - 1 - backslashes) === 0x5c) backslashes++;
    if (backslashes % 2 === 0) return end;
  }
  return text.length;
}

const unquote = (quoted: string): string =>
  quoted.includes('\\') ? (JSON.parse(quoted) as string) : quoted.slice(1, -1);

function childPath(level: Level | undefined, key: string): string {
  if (!level) return '';
  if (!level.keys) return `${level.path}[]`;
  return level.path === '' ? key : `${level.path}.${key}`;
}
