const keyPattern = /^[A-Za-z0-9_][A-Za-z0-9._-]*(?:\/[A-Za-z0-9_][A-Za-z0-9._-]*)*$/;
const longest = 900;

/** Keys are made by the registry from names that it has checked; that none of them leads out is checked here again. */
export function checkKey(key: string): void {
  if (key.length > longest || !keyPattern.test(key)) throw new Error('a key of the registry is none');
}
