import { isObject } from '@selvedge/api';
import { escapePattern } from '../escape-pattern.ts';
import { parseValue } from '../manifests/parse-manifests.ts';
import { SourceError } from '../source-reading.ts';

export interface ChartEntry {
  readonly version: string;
  readonly urls: readonly string[];
  /** sha256 of the file, in hexadecimal. */
  readonly digest: string | undefined;
}

/**
 * The versions of one chart in an index.yaml. Of large ones (tens of megabytes are usual) only the part of the chart is read as YAML:
 * helm writes each chart as `  name:` below `entries:`.
 */
export async function findChartEntries(
  index: string,
  { chart, where, signal }: { chart: string; where: string; signal: AbortSignal },
): Promise<ChartEntry[]> {
  const text = partOf(index, chart) ?? index;
  if (text.length > maxParsed) {
    throw new SourceError(
      'LimitExceeded',
      `The index of ${where} is larger than ${maxParsed} bytes for one chart.`,
    );
  }
  const value = await parseValue({ name: `index of ${where}`, text }, signal);
  const entries = isObject(value) && isObject(value['entries']) ? value['entries'] : undefined;
  if (!entries)
    throw new SourceError('RenderFailed', `${where} is no chart repository: its index.yaml has no entries.`);
  const list = Object.hasOwn(entries, chart) ? entries[chart] : undefined;
  if (!Array.isArray(list)) throw new SourceError('NotFound', `${where} has no chart ${chart}.`);
  return list.filter(isObject).flatMap(({ version, urls, digest }) => {
    if (typeof version !== 'string' || !Array.isArray(urls)) return [];
    return [
      {
        version,
        urls: urls.filter((url): url is string => typeof url === 'string'),
        digest: typeof digest === 'string' ? digest.replace(/^sha256:/, '') : undefined,
      },
    ];
  });
}

const maxParsed = 4 * 1024 * 1024;

function partOf(index: string, chart: string): string | undefined {
  if (!/^entries:\s*$/m.test(index)) return undefined;
  const name = escapePattern(chart);
  const start = new RegExp(`^  (?:${name}|"${name}"|'${name}'):[ \\t]*\\r?$`, 'm').exec(index);
  if (!start) return undefined;
  const rest = index.slice(start.index + start[0].length);
  const end = /^ {0,2}[^\s#-]/m.exec(rest);
  return `entries:\n${start[0]}${end ? rest.slice(0, end.index) : rest}`;
}
