import { InvalidArgumentError, Option } from 'commander';
import type { OutputFormat } from './terminal.ts';

/** What every command takes. */
export interface GlobalOptions {
  kubeconfig?: string;
  context?: string;
  insecureSkipTlsVerify?: boolean;
  output: OutputFormat;
  namespace?: string;
}

/** `more`: forms that this command has beside the usual ones. */
export function outputOption(...more: readonly string[]): Option {
  return new Option('-o, --output <format>', 'form of the answer')
    .choices(['table', 'json', 'yaml', ...more])
    .default('table');
}

export function collect(value: string, previous: string[] | undefined): string[] {
  return [...(previous ?? []), value];
}

export function collectLabels(
  text: string,
  previous: Record<string, string> | undefined,
): Record<string, string> {
  const labels = { ...previous };
  for (const pair of text.split(',')) {
    const [key, value] = pair.split('=');
    if (!key || value === undefined) throw new InvalidArgumentError('Write it as key=value.');
    labels[key] = value;
  }
  return labels;
}

export function positiveInteger(text: string): number {
  if (!/^[1-9]\d{0,5}$/.test(text)) throw new InvalidArgumentError('It has to be a whole number from 1.');
  return Number(text);
}
