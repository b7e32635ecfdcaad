import {
  type FieldError,
  fieldInvalid,
  fieldNotSupported,
  fieldRequired,
  isObject,
  type ScriptMetadata,
} from '@selvedge/api';
import { isMap, parseDocument } from 'yaml';

export type ParsedScript = { readonly metadata: ScriptMetadata } | { readonly errors: readonly FieldError[] };

const path = 'spec.script';
const beginning = /^\s*#\s*---\s*Start MAAS (?<version>\d+\.\d+) script metadata\s*---\s*$/;
const end = /^\s*#\s*---\s*End MAAS \d+\.\d+ script metadata\s*---\s*$/;
/** Of a script that says nothing, and the longest that one may ask for; seconds. */
const usualTimeout = 3600;
const longestTimeout = 86_400;

/** As numbers, too: older scripts are written so. */
const scriptTypes: readonly (readonly [ScriptMetadata['type'], readonly string[]])[] = [
  ['Commissioning', ['commissioning', '0']],
  ['Testing', ['testing', 'test', '2']],
];
const hardwareTypes: readonly (readonly [ScriptMetadata['hardwareType'], readonly string[]])[] = [
  ['Node', ['node', 'machine', '0']],
  ['CPU', ['cpu', 'processor', '1']],
  ['Memory', ['memory', 'ram', '2']],
  ['Storage', ['storage', 'disk', 'ssd', '3']],
  ['Network', ['network', 'net', 'interface', '4']],
  ['GPU', ['gpu', 'graphics', '5']],
];
const parallelKinds: readonly (readonly [ScriptMetadata['parallel'], readonly string[]])[] = [
  ['Disabled', ['disabled', 'none', '0']],
  ['Instance', ['instance', 'name', '1']],
  ['Any', ['any', 'enabled', '2']],
];
/** Understood by MAAS, and why they are refused here when they ask for something. */
const refused: Readonly<Record<string, string>> = {
  packages: 'the inspection system installs nothing; put what the script needs into the script',
  parameters: 'scripts get no parameters here; the script has to find its disks and ports by itself',
  destructive: 'a script may not destroy data; release the machine with erase and consent instead',
  recommission: 'ask for another inspection with spec.requests.inspectTime of the Machine',
  apply_configured_networking: 'the inspection system has the network that it booted from',
};
/** Told to people only, or of no meaning here. */
const ignored = new Set(['results', 'comment', 'version', 'author', 'license']);
const known = new Set([
  'name',
  'title',
  'description',
  'script_type',
  'type',
  'hardware_type',
  'hardware',
  'parallel',
  'timeout',
  'tags',
  'for_hardware',
  'may_reboot',
  'reboot',
]);

/**
 * Reads the header of a commissioning or test script: comments between `--- Start MAAS 1.0 script metadata ---` and `--- End MAAS 1.0 script metadata ---`, YAML within.
 * Without a header it is a commissioning script named like its object. What cannot be honoured is refused.
 */
export function parseScript(script: string, objectName: string): ParsedScript {
  const errors: FieldError[] = [];
  if (!script.startsWith('#!')) {
    errors.push(
      fieldInvalid(path, script.split('\n', 1)[0], 'the first line has to name its shell: #!/bin/sh'),
    );
  }
  if (script.includes('\0')) errors.push(fieldInvalid(path, '\0', 'a script is text: it has a NUL'));
  const fields = readHeader(script, errors);
  const metadata = readFields(fields, objectName, errors);
  return errors.length > 0 ? { errors } : { metadata };
}

/** The fields of the header; {} when there is none, or when it cannot be read. */
function readHeader(script: string, errors: FieldError[]): Readonly<Record<string, unknown>> {
  const lines = script.split(/\r?\n/);
  const first = lines.findIndex((line) => beginning.test(line));
  if (first === -1) return {};
  const refuse = (value: unknown, detail: string) => {
    errors.push(fieldInvalid(path, value, detail));
    return {};
  };
  const version = beginning.exec(lines[first] ?? '')?.groups?.['version'];
  if (version !== '1.0') {
    return refuse(version, `line ${first + 1}: only version 1.0 of the script metadata is known`);
  }
  const length = lines.slice(first + 1).findIndex((line) => end.test(line));
  if (length === -1) {
    return refuse(lines[first], 'the header does not end: # --- End MAAS 1.0 script metadata ---');
  }
  const header = lines.slice(first + 1, first + 1 + length);
  const strange = header.findIndex((line) => !/^\s*#/.test(line) && line.trim() !== '');
  if (strange !== -1) {
    return refuse(header[strange], `line ${first + 2 + strange}: each line of the header begins with #`);
  }
  const text = header.map((line) => line.replace(/^\s*# ?/, '')).join('\n');
  const document = parseDocument(text, { uniqueKeys: true, prettyErrors: false });
  const [fault] = document.errors;
  if (fault) return refuse(text, `the header is no YAML: ${fault.message.split('\n', 1)[0] ?? ''}`);
  if (document.contents === null) return {};
  if (!isMap(document.contents)) return refuse(text, 'the header has to be fields: name: …');
  try {
    // No alias is needed here, and a few of them can become gigabytes.
    return document.toJS({ maxAliasCount: 0 }) as Record<string, unknown>;
  } catch {
    return refuse(text, 'the header is no YAML that is read here: it has aliases (*name)');
  }
}

function readFields(
  fields: Readonly<Record<string, unknown>>,
  objectName: string,
  errors: FieldError[],
): ScriptMetadata {
  for (const [name, value] of Object.entries(fields)) {
    const why = refused[name];
    if (why !== undefined && asksForSomething(value))
      errors.push(fieldInvalid(`${path}.${name}`, value, why));
    if (why !== undefined || known.has(name) || ignored.has(name)) continue;
    errors.push(fieldNotSupported(path, name, [...known]));
  }
  const text = (name: string, longest: number): string | undefined => {
    const value = fields[name];
    if (value === undefined || value === null) return undefined;
    if (typeof value === 'string' && value.length <= longest) return value;
    errors.push(fieldInvalid(`${path}.${name}`, value, `has to be text of at most ${longest} characters`));
    return undefined;
  };
  const choice = <T extends string>(
    names: readonly [string, ...string[]],
    choices: readonly (readonly [T, readonly string[]])[],
    otherwise: T,
  ): T => {
    const name = names.find((one) => fields[one] !== undefined) ?? names[0];
    const value = fields[name];
    if (value === undefined || value === null) return otherwise;
    const isPlain = typeof value === 'string' || typeof value === 'number';
    const spelling = isPlain ? String(value).toLowerCase() : '';
    const found = choices.find(([, spellings]) => spellings.includes(spelling));
    if (found) return found[0];
    const supported = choices.map(([, spellings]) => spellings[0] ?? '');
    errors.push(fieldNotSupported(`${path}.${name}`, value, supported));
    return otherwise;
  };
  const flag = (...names: readonly string[]): boolean => {
    const name = names.find((one) => fields[one] !== undefined);
    const value = name === undefined ? false : fields[name];
    if (typeof value === 'boolean') return value;
    errors.push(fieldInvalid(`${path}.${name ?? ''}`, value, 'has to be true or false'));
    return false;
  };
  const texts = (name: string, pattern: RegExp, detail: string): string[] => {
    const value = fields[name];
    if (value === undefined || value === null) return [];
    const list = typeof value === 'string' ? value.split(',').map((part) => part.trim()) : value;
    const items: unknown[] = Array.isArray(list) ? list : [list];
    const kept: string[] = [];
    items.forEach((item, i) => {
      if (typeof item === 'string' && pattern.test(item)) kept.push(item);
      else errors.push(fieldInvalid(`${path}.${name}[${i}]`, item, detail));
    });
    return kept;
  };
  const name = text('name', 100);
  if (name?.trim() === '') errors.push(fieldRequired(`${path}.name`, 'a script has a name'));
  const [title, description] = [text('title', 200), text('description', 2000)];
  return {
    name: name ?? objectName,
    ...(title === undefined ? {} : { title }),
    ...(description === undefined ? {} : { description }),
    type: choice(['script_type', 'type'], scriptTypes, 'Commissioning'),
    hardwareType: choice(['hardware_type', 'hardware'], hardwareTypes, 'Node'),
    parallel: choice(['parallel'], parallelKinds, 'Disabled'),
    timeoutSeconds: readTimeout(fields['timeout'], errors),
    tags: texts('tags', /^[\w.-]{1,63}$/, 'a tag has letters, digits, dots and dashes, at most 63'),
    forHardware: texts('for_hardware', hardwarePattern, hardwareHint),
    mayReboot: flag('may_reboot', 'reboot'),
  };
}

const hardwarePattern =
  /^(?:modalias:[\x21-\x7e]{1,200}|(?:pci|usb):[0-9a-f*]{1,4}:[0-9a-f*]{1,4}|(?:system_vendor|system_product|system_version|mainboard_vendor|mainboard_product):[\x20-\x7e]{1,200})$/i;
const hardwareHint =
  'has to be modalias:PATTERN, pci:VENDOR:DEVICE, usb:VENDOR:DEVICE, system_vendor:NAME or system_product:NAME';

function asksForSomething(value: unknown): boolean {
  if (Array.isArray(value)) return value.length > 0;
  if (isObject(value)) return Object.keys(value).length > 0;
  return value !== undefined && value !== null && value !== false;
}

/** Seconds, `MM:SS` or `HH:MM:SS`; none (0) means the longest. */
function readTimeout(value: unknown, errors: FieldError[]): number {
  if (value === undefined || value === null) return usualTimeout;
  const seconds = secondsOf(value);
  if (seconds !== undefined && seconds <= longestTimeout) return seconds === 0 ? longestTimeout : seconds;
  const detail = `has to be seconds or HH:MM:SS, at most ${longestTimeout} s`;
  errors.push(fieldInvalid(`${path}.timeout`, value, detail));
  return usualTimeout;
}

function secondsOf(value: unknown): number | undefined {
  if (typeof value === 'number') return Number.isInteger(value) && value >= 0 ? value : undefined;
  if (typeof value !== 'string' || !/^\d{1,5}(:[0-5]?\d){0,2}$/.test(value)) return undefined;
  return value.split(':').reduce((total, part) => total * 60 + Number(part), 0);
}
