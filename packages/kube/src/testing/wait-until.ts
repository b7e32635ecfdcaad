import { setTimeout as sleep } from 'node:timers/promises';

/** Polls until the condition holds, for things that come from another socket or process. */
export async function waitUntil(what: string, condition: () => boolean, seconds = 20): Promise<void> {
  for (let tries = 0; !condition(); tries++) {
    if (tries > seconds * 100) throw new Error(`waited ${seconds} s in vain until ${what}`);
    await sleep(10);
  }
}
