// Starts one of the repository's programs: `node tools/run.js NAME …`, which is what every npm script does.
//
// Plain JavaScript without dependencies, because it also runs on the Node 20 of a fresh machine with an empty clone:
// it installs the npm packages when they are missing or differ from package-lock.json, and then goes on with the
// Node 24 that is one of them.
import { spawn, spawnSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { constants } from 'node:os';
import { join } from 'node:path';

const root = join(import.meta.dirname ?? new URL('.', import.meta.url).pathname, '..');

const programs = {
  bench: 'bench/main.ts',
  build: 'tools/build.ts',
  check: 'tools/check.ts',
  image: 'tools/build-image.ts',
  quickstart: 'quickstart/main.ts',
  test: 'tools/test.ts',
};

main();

function main() {
  const [name = '', ...args] = process.argv.slice(2);
  const program = programs[name];
  if (program === undefined) {
    fail(`usage: node tools/run.js ${Object.keys(programs).join('|')} …`, 2);
  }
  if (!packagesAreInstalled()) installPackages();
  const child = spawn(pinnedNode(), [join(root, program), ...args], { stdio: 'inherit' });
  // A terminal sends Ctrl-C to the child as well; a supervisor sends its signal only to us.
  process.on('SIGINT', () => undefined);
  process.on('SIGTERM', () => child.kill('SIGTERM'));
  process.on('SIGHUP', () => child.kill('SIGHUP'));
  child.on('error', (error) => fail(`cannot start ${program}: ${error.message}`, 1));
  child.on('exit', (code, signal) => {
    if (signal !== null) console.error(`${program} was ended by ${signal}`);
    process.exit(signal === null ? code : 128 + constants.signals[signal]);
  });
}

/** True when node_modules holds exactly what package-lock.json says, but for packages of other platforms. */
function packagesAreInstalled() {
  const installedFile = join(root, 'node_modules/.package-lock.json');
  if (!existsSync(installedFile)) return false;
  const wanted = readPackages(join(root, 'package-lock.json'));
  const installed = readPackages(installedFile);
  return Object.entries(wanted).every(([path, entry]) => {
    if (path === '') return true;
    const found = installed[path];
    if (found === undefined)
      return (entry.optional === true || entry.peer === true) && !isForThisPlatform(entry);
    return found.version === entry.version && found.integrity === entry.integrity;
  });
}

function isForThisPlatform(entry) {
  const fits = (allowed, own) => allowed === undefined || allowed.includes(own);
  const hasPlatform = entry.os !== undefined && entry.libc === undefined;
  return hasPlatform && fits(entry.os, process.platform) && fits(entry.cpu, process.arch);
}

function readPackages(file) {
  return JSON.parse(readFileSync(file, 'utf8')).packages ?? {};
}

function installPackages() {
  console.error('==> npm packages are missing or older than package-lock.json: npm ci');
  const started = performance.now();
  // npm's own command line when npm started us, so that its version and settings stay the same.
  const [command, ...first] = process.env.npm_execpath
    ? [process.execPath, process.env.npm_execpath]
    : ['npm'];
  const args = [...first, 'ci', '--no-progress', '--loglevel=error', '--no-fund', '--no-audit'];
  const { status, error } = spawnSync(command, args, { cwd: root, stdio: ['ignore', 'ignore', 'inherit'] });
  if (error !== undefined) fail(`cannot run npm: ${error.message}; install Node 20 or later with npm`, 1);
  if (status !== 0) fail('npm ci failed; the lines above say why', 1);
  console.error(`    done in ${((performance.now() - started) / 1000).toFixed(0)} s`);
}

/** Node 24 from the platform package; a new enough Node of the machine where there is no such package. */
function pinnedNode() {
  const path = join(root, `node_modules/node-${process.platform}-${process.arch}/bin/node`);
  if (existsSync(path)) return path;
  if (Number(process.versions.node.split('.')[0]) >= 24) return process.execPath;
  fail(
    `there is no packaged Node 24 for ${process.platform}-${process.arch}; install Node 24 or later and try again`,
    1,
  );
}

function fail(message, code) {
  console.error(message);
  process.exit(code);
}
