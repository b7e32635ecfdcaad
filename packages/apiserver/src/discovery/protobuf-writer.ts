/** A field of a protobuf message: nothing is written for `undefined`, one field each for the items of a list. */
export type FieldValue = undefined | boolean | number | string | Buffer | readonly (string | Buffer)[];

/** A message from its fields, `[number, value]`. Numbers are written as varints: whole and not negative. */
export function writeMessage(fields: readonly (readonly [number: number, value: FieldValue])[]): Buffer {
  return Buffer.concat(fields.flatMap(([number, value]) => writeField(number, value)));
}

function writeField(number: number, value: FieldValue): Buffer[] {
  if (value === undefined) return [];
  if (Array.isArray(value)) return value.flatMap((item: string | Buffer) => writeField(number, item));
  if (typeof value === 'boolean') return [writeVarint(number * 8), writeVarint(value ? 1 : 0)];
  if (typeof value === 'number') return [writeVarint(number * 8), writeVarint(value)];
  const bytes = typeof value === 'string' ? Buffer.from(value) : (value as Buffer);
  return [writeVarint(number * 8 + 2), writeVarint(bytes.length), bytes];
}

/** For the fields that are doubles. */
export function writeDouble(number: number, value: number | undefined): Buffer {
  if (value === undefined) return Buffer.alloc(0);
  const bytes = Buffer.alloc(8);
  bytes.writeDoubleLE(value);
  return Buffer.concat([writeVarint(number * 8 + 1), bytes]);
}

function writeVarint(value: number): Buffer {
  const bytes: number[] = [];
  let rest = value;
  for (; rest >= 0x80; rest = Math.floor(rest / 0x80)) bytes.push((rest % 0x80) | 0x80);
  return Buffer.from([...bytes, rest]);
}
