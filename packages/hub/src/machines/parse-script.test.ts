import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import { parseScript } from './parse-script.ts';

const script = (...header: string[]) =>
  [
    '#!/bin/bash',
    '#',
    '# check-raid - the state of the RAID controller',
    '# --- Start MAAS 1.0 script metadata ---',
    ...header.map((line) => `# ${line}`),
    '# --- End MAAS 1.0 script metadata ---',
    'exit 0',
    '',
  ].join('\n');

const metadataOf = (...header: string[]) => {
  const parsed = parseScript(script(...header), 'object');
  if ('errors' in parsed) assert.fail(JSON.stringify(parsed.errors));
  return parsed.metadata;
};
const errorsOf = (text: string) => {
  const parsed = parseScript(text, 'object');
  if (!('errors' in parsed)) assert.fail(JSON.stringify(parsed));
  return parsed.errors.map(({ field, message }) => `${field}: ${message}`).join('\n');
};

describe('the header of a script', () => {
  test('all that it may say is understood', () => {
    assert.deepEqual(
      metadataOf(
        'name: check-raid',
        'title: RAID state',
        'description: |',
        '  Asks the controller.',
        'script_type: testing',
        'hardware_type: storage',
        'parallel: instance',
        'timeout: 00:05:30',
        'tags: [raid, lsi]',
        'for_hardware: ["pci:1000:005d", "system_vendor:Dell Inc."]',
        'may_reboot: true',
        'packages: {}',
        'destructive: false',
        'results:',
        '  state:',
        '    title: State',
      ),
      {
        name: 'check-raid',
        title: 'RAID state',
        description: 'Asks the controller.\n',
        type: 'Testing',
        hardwareType: 'Storage',
        parallel: 'Instance',
        timeoutSeconds: 330,
        tags: ['raid', 'lsi'],
        forHardware: ['pci:1000:005d', 'system_vendor:Dell Inc.'],
        mayReboot: true,
      },
    );
  });

  test('without one, a script is a commissioning script named like its object', () => {
    const parsed = parseScript('#!/bin/sh\nexit 0\n', 'raid');
    assert.ok('metadata' in parsed);
    const { name, type, hardwareType, parallel, timeoutSeconds, mayReboot } = parsed.metadata;
    assert.deepEqual(
      [name, type, hardwareType, parallel, timeoutSeconds, mayReboot],
      ['raid', 'Commissioning', 'Node', 'Disabled', 3600, false],
    );
  });

  const timeouts: [string, number][] = [
    ['90', 90],
    ['"10:00"', 600],
    ['1:00:00', 3600],
    ['0', 86_400],
  ];
  for (const [text, seconds] of timeouts) {
    test(`timeout ${text} is ${seconds} s`, () =>
      assert.equal(metadataOf(`timeout: ${text}`).timeoutSeconds, seconds));
  }

  test('numbers and short names of older scripts are understood', () => {
    const metadata = metadataOf('type: 2', 'hardware_type: 4', 'parallel: 2', 'tags: a, b');
    assert.deepEqual(
      [metadata.type, metadata.hardwareType, metadata.parallel, metadata.tags],
      ['Testing', 'Network', 'Any', ['a', 'b']],
    );
  });

  const wrong: [string, string, RegExp][] = [
    ['a type that there is not', script('script_type: release'), /spec\.script\.script_type: .*"release"/],
    ['packages', script('packages: {apt: [fio]}'), /spec\.script\.packages: .*installs nothing/],
    ['what destroys data', script('destructive: true'), /spec\.script\.destructive: /],
    ['a field that nobody knows', script('colour: red'), /spec\.script: Unsupported value: "colour"/],
    ['a timeout that is none', script('timeout: soon'), /spec\.script\.timeout: .*HH:MM:SS/],
    ['a timeout of a week', script('timeout: 604800'), /spec\.script\.timeout: /],
    ['hardware of no known form', script('for_hardware: [dell]'), /spec\.script\.for_hardware\[0\]: /],
    ['a header that is no YAML', script('name: [a'), /spec\.script: .*no YAML/],
    ['a field twice', script('name: a', 'name: b'), /spec\.script: .*no YAML/],
    ['a list as header', script('- a'), /has to be fields/],
    ['aliases', script('title: &a x', 'description: *a'), /no YAML|has to be/],
    ['another version', script().replaceAll('1.0', '2.0'), /only version 1\.0/],
    ['a header without end', '#!/bin/sh\n# --- Start MAAS 1.0 script metadata ---\nx\n', /does not end/],
    ['code in the header', script('name: a').replace('# name', 'name'), /line 5: .*begins with #/],
    ['no shell', 'exit 0\n', /#!\/bin\/sh/],
  ];
  for (const [what, text, message] of wrong) {
    test(`${what} is refused by its path`, () => assert.match(errorsOf(text), message));
  }

  test('whatever stands there, it answers with metadata or with errors that have a path', () => {
    fc.assert(
      fc.property(fc.array(fc.string({ maxLength: 40 }), { maxLength: 8 }), (lines) => {
        const parsed = parseScript(script(...lines.map((line) => line.replaceAll(/[\r\n]/g, ' '))), 'x');
        if ('errors' in parsed) {
          assert.ok(parsed.errors.length > 0);
          for (const { field } of parsed.errors) assert.ok(field.startsWith('spec.script'));
        } else assert.ok(parsed.metadata.timeoutSeconds > 0);
      }),
      { numRuns: 200 },
    );
  });
});
