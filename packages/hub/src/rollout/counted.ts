/** `no sites`, `1 site`, `2 sites`: for messages to people. The noun takes a plain -s. */
export function counted(count: number, noun: string): string {
  if (count === 1) return `1 ${noun}`;
  return `${count === 0 ? 'no' : count} ${noun}s`;
}
