import type { SystemTask, TaskDevice } from './inspection-wire.ts';

/**
 * A task as the inspection system reads it (`GET /machine/v1/task`): lines `key value`, first `id N`, then `task NAME`. Lists are lines with the same key.
 *
 * - `script`: `name`, `timeout` (seconds), `for-hardware` each, `has-started yes|no`
 * - `test`: `name`, `timeout`
 * - `erase`: `mode quick|secure`, `device` each
 * - `write`: `device`, `disk-bytes`, `chunks`, `chunk-bytes`, `resume yes|no`
 * - `seed`: `device`, `file` each
 * - `rescue`: `key` each (a line of `authorized_keys`)
 *
 * `device` is `ID SIZE [SERIAL]`; the serial goes to the end of the line.
 */
export function formatSystemTask(id: number, task: SystemTask): string {
  return [`id ${id}`, `task ${task.task}`, ...fields(task)].map((line) => `${oneLine(line)}\n`).join('');
}

function fields(task: SystemTask): string[] {
  switch (task.task) {
    case 'script':
      return [
        `name ${task.name}`,
        `timeout ${task.timeoutSeconds}`,
        ...task.forHardware.map((wanted) => `for-hardware ${wanted}`),
        `has-started ${yesNo(task.hasStarted)}`,
      ];
    case 'test':
      return [`name ${task.name}`, `timeout ${task.timeoutSeconds}`];
    case 'erase':
      return [`mode ${task.mode}`, ...task.devices.map(deviceLine)];
    case 'write':
      return [
        deviceLine(task.device),
        `disk-bytes ${task.diskBytes}`,
        `chunks ${task.chunks}`,
        `chunk-bytes ${task.chunkBytes}`,
        `resume ${yesNo(task.resume)}`,
      ];
    case 'seed':
      return [deviceLine(task.device), ...task.files.map((file) => `file ${file}`)];
    case 'rescue':
      return task.authorizedKeys.map((key) => `key ${key}`);
    case 'collect':
    case 'reboot':
    case 'poweroff':
      return [];
  }
}

const deviceLine = ({ id, size, serial }: TaskDevice) =>
  `device ${id} ${size}${serial === undefined ? '' : ` ${serial}`}`;

const yesNo = (value: boolean) => (value ? 'yes' : 'no');

/** A value can never begin a line of its own. */
const oneLine = (text: string) => text.replaceAll(/\p{Cc}+/gu, ' ').trimEnd();
