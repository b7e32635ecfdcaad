import { type Clock, StatusError } from '@selvedge/api';
import {
  isFields,
  type Entry,
  type Fields,
  optionalText,
  requiredText,
  unusable,
} from './kubeconfig-file.ts';

const apiVersions = ['client.authentication.k8s.io/v1', 'client.authentication.k8s.io/v1beta1'];
const longestRunMilliseconds = 60_000;
const longestOutputBytes = 1024 * 1024;
/** A credential is renewed this long before it ends, so that no request carries one that ends on the way. */
const renewEarlyMilliseconds = 10_000;
/** Many requests under way can be refused for one credential: what is younger was not what they carried. */
const leastAgeMilliseconds = 5000;

/** How to run the plugin, as `users[].user.exec` says. */
export interface ExecPlugin {
  readonly apiVersion: string;
  readonly command: string;
  readonly args: readonly string[];
  readonly env: Readonly<Record<string, string>>;
  readonly installHint?: string;
  /** What the plugin is told of the cluster; absent unless it asks for it (`provideClusterInfo`). */
  readonly cluster?: Fields;
}

export interface ExecCredential {
  readonly token?: string;
  readonly cert?: string;
  readonly key?: string;
  readonly expiresAt?: Date;
}

interface Dependencies {
  readonly environment: Readonly<Record<string, string | undefined>>;
  readonly clock: Clock;
}

/** Credentials of a plugin (`client.authentication.k8s.io`), kept until they end or are refused. One run at a time. */
export class ExecCredentials {
  readonly #plugin: ExecPlugin;
  readonly #o: Dependencies;
  #current: { readonly credential: ExecCredential; readonly sinceMs: number } | undefined;
  #running: Promise<ExecCredential> | undefined;

  constructor(plugin: ExecPlugin, dependencies: Dependencies) {
    this.#plugin = plugin;
    this.#o = dependencies;
  }

  /** What the plugin said last. */
  get credential(): ExecCredential | undefined {
    return this.#current?.credential;
  }

  /** Throws ServiceUnavailable when the plugin fails: it may work the next time. */
  async get(): Promise<ExecCredential> {
    const nowMs = this.#o.clock.now().getTime();
    const current = this.#current?.credential;
    const endsMs = current?.expiresAt?.getTime() ?? Infinity;
    if (current !== undefined && nowMs < endsMs - renewEarlyMilliseconds) return current;
    this.#running ??= this.#run().finally(() => {
      this.#running = undefined;
    });
    return this.#running;
  }

  forget(): void {
    if (this.#current === undefined) return;
    const ageMs = this.#o.clock.now().getTime() - this.#current.sinceMs;
    if (ageMs < 0 || ageMs >= leastAgeMilliseconds) this.#current = undefined;
  }

  async #run(): Promise<ExecCredential> {
    const credential = parseCredential(this.#plugin, await runPlugin(this.#plugin, this.#o.environment));
    this.#current = { credential, sinceMs: this.#o.clock.now().getTime() };
    return credential;
  }
}

/** Throws BadRequest when the entry cannot work for a program without a terminal. */
export function parseExecPlugin(user: Entry, cluster: Fields, directory: string): ExecPlugin {
  const fields = user.fields['exec'];
  if (!isFields(fields)) throw unusable(user.path, `${user.where}.exec is not an object`);
  const exec: Entry = { path: user.path, where: `${user.where}.exec`, fields };
  const apiVersion = requiredText(exec, 'apiVersion');
  if (!apiVersions.includes(apiVersion)) {
    throw unusable(
      exec.path,
      `${exec.where}.apiVersion is ${apiVersion}; it has to be ${apiVersions.join(' or ')}`,
    );
  }
  if (optionalText(exec, 'interactiveMode') === 'Always') {
    throw unusable(
      exec.path,
      `${exec.where}.interactiveMode is Always, but there is nobody to answer the plugin; use a token or a client certificate`,
    );
  }
  const installHint = optionalText(exec, 'installHint');
  return {
    apiVersion,
    command: commandPath(requiredText(exec, 'command'), directory),
    args: textList(exec, 'args'),
    env: environmentOf(exec),
    ...(installHint === undefined ? {} : { installHint }),
    ...(fields['provideClusterInfo'] === true ? { cluster } : {}),
  };
}

/** A path is relative to the kubeconfig; a bare name is looked up in PATH. */
function commandPath(command: string, directory: string): string {
  const isRelative = command.includes('/') && !command.startsWith('/');
  return isRelative ? `${directory}/${command}` : command;
}

async function runPlugin(plugin: ExecPlugin, environment: Dependencies['environment']): Promise<string> {
  const { execFile } = await import('node:child_process');
  const { apiVersion, cluster } = plugin;
  const info = {
    apiVersion,
    kind: 'ExecCredential',
    spec: { ...(cluster ? { cluster } : {}), interactive: false },
  };
  const env = { ...environment, ...plugin.env, KUBERNETES_EXEC_INFO: JSON.stringify(info) };
  return new Promise((resolve, reject) => {
    const options = {
      env,
      timeout: longestRunMilliseconds,
      maxBuffer: longestOutputBytes,
      killSignal: 'SIGKILL' as const,
    };
    const child = execFile(plugin.command, [...plugin.args], options, (error, stdout, stderr) => {
      if (error === null) resolve(stdout);
      else reject(failed(plugin, outcomeOf(error, stderr)));
    });
    // A plugin that asks for something finds nobody there.
    child.stdin?.end();
  });
}

/** Without what it printed to stdout, and without its arguments: both may hold secrets. */
function outcomeOf(error: Error & { code?: unknown; killed?: boolean }, stderr: string): string {
  if (error.code === 'ENOENT') return 'is not installed';
  if (error.code === 'EACCES') return 'may not be run';
  if (error.code === 'ERR_CHILD_PROCESS_STDIO_MAXBUFFER') return 'printed more than 1 MiB';
  if (error.killed === true) return `did not end within ${longestRunMilliseconds / 1000} seconds`;
  const said = stderr.trim().split('\n').at(-1)?.slice(0, 300) ?? '';
  const ended = typeof error.code === 'number' ? `failed with exit code ${error.code}` : 'failed';
  return said === '' ? ended : `${ended}: ${said}`;
}

function parseCredential(plugin: ExecPlugin, stdout: string): ExecCredential {
  let answer: unknown;
  try {
    answer = JSON.parse(stdout);
  } catch {
    throw failed(plugin, 'did not print an ExecCredential');
  }
  if (!isFields(answer) || answer['kind'] !== 'ExecCredential' || !isFields(answer['status'])) {
    throw failed(plugin, 'did not print an ExecCredential with a status');
  }
  if (answer['apiVersion'] !== plugin.apiVersion) {
    throw failed(plugin, `printed ${String(answer['apiVersion'])}, asked for was ${plugin.apiVersion}`);
  }
  const { token, clientCertificateData: cert, clientKeyData: key, expirationTimestamp } = answer['status'];
  const hasPair = isFilled(cert) && isFilled(key);
  if (!isFilled(token) && !hasPair) {
    throw failed(plugin, 'printed neither a token nor a client certificate with its key');
  }
  const expiresAt = isFilled(expirationTimestamp) ? new Date(expirationTimestamp) : undefined;
  if (expiresAt !== undefined && Number.isNaN(expiresAt.getTime())) {
    throw failed(plugin, 'printed an expirationTimestamp that is not a time');
  }
  return {
    ...(isFilled(token) ? { token } : {}),
    ...(hasPair ? { cert, key } : {}),
    ...(expiresAt === undefined ? {} : { expiresAt }),
  };
}

function isFilled(value: unknown): value is string {
  return typeof value === 'string' && value !== '';
}

function textList(exec: Entry, field: string): string[] {
  const list = exec.fields[field] ?? [];
  if (Array.isArray(list) && list.every((one) => typeof one === 'string')) return list as string[];
  throw unusable(exec.path, `${exec.where}.${field} is not a list of strings`);
}

function environmentOf(exec: Entry): Record<string, string> {
  const list = exec.fields['env'] ?? [];
  const isGood = (one: unknown): one is { name: string; value: string } =>
    isFields(one) && typeof one['name'] === 'string' && typeof one['value'] === 'string';
  if (!Array.isArray(list) || !list.every(isGood)) {
    throw unusable(exec.path, `${exec.where}.env is not a list of names and values`);
  }
  return Object.fromEntries(list.map(({ name, value }) => [name, value]));
}

function failed({ command, installHint }: ExecPlugin, what: string): StatusError {
  const hint = installHint === undefined ? '' : `\n${installHint}`;
  return new StatusError('ServiceUnavailable', `the credential plugin ${command} ${what}${hint}`);
}
