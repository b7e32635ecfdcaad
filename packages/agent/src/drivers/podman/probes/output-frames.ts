/** Output of exec and logs comes in frames: stream number, three zero bytes, length, bytes. */
export function stripFrames(bytes: Buffer): string {
  const parts: Buffer[] = [];
  let at = 0;
  while (at + 8 <= bytes.length && (bytes[at] ?? 9) <= 2) {
    const length = bytes.readUInt32BE(at + 4);
    parts.push(bytes.subarray(at + 8, at + 8 + length));
    at += 8 + length;
  }
  return (parts.length === 0 ? bytes : Buffer.concat(parts)).toString('utf8');
}
