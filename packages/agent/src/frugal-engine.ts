import { setFlagsFromString } from 'node:v8';

/*
 * An agent waits nearly all of its life, on machines where memory is dear: V8's compilers bring megabytes and gain it
 * nothing. What ran only at the start is forgotten at the second collection of garbage that it sits idle. Imported first by main.ts, as
 * code that has begun to be compiled keeps what it has.
 */
for (const flag of [
  '--no-opt',
  '--no-maglev',
  '--no-sparkplug',
  '--optimize-for-size',
  '--bytecode-old-age=1',
]) {
  setFlagsFromString(flag);
}
