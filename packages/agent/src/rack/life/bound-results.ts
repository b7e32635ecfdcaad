import type { ScriptResult } from '@selvedge/api';

/** Of the results of a machine, as JSON: what the hub takes with a report, with room for the rest of it. */
const mostBytes = 128 * 1024;
const mostBytesOfOne = 32 * 1024;
/** The hub keeps no more of a result. */
const mostValues = 50;

/**
 * What is said of scripts and tests, oldest first. A box chooses what its scripts print: of one that is too long, and of the oldest where all are too long together, only what came
 * of it is told.
 */
export function boundResults(results: readonly ScriptResult[]): ScriptResult[] {
  let left = mostBytes;
  return results
    .toReversed()
    .map((result) => {
      const { values, ...bare } = result;
      const cut = values === undefined ? bare : { ...bare, values: firstOf(values) };
      const bytes = Buffer.byteLength(JSON.stringify(cut));
      if (bytes > mostBytesOfOne || bytes > left) return { ...bare, output: untold };
      left -= bytes;
      return cut;
    })
    .toReversed();
}

function firstOf(values: Readonly<Record<string, string>>): Record<string, string> {
  return Object.fromEntries(Object.entries(values).slice(0, mostValues));
}

const untold = 'What it printed and its values are too long to be told.';
