import { createHash } from 'node:crypto';
import type { PowerLogin } from './power-driver.ts';

/** Tells logins apart without keeping them. */
export function loginKey({ username, password, kg, token }: PowerLogin): string {
  return createHash('sha256')
    .update(JSON.stringify([username, password, kg, token]))
    .digest('base64');
}
