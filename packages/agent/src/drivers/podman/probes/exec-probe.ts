import type { LibpodClient } from '../libpod-client.ts';
import type { Container } from '../manifest-model.ts';
import { withSecretEnvironment } from '../pod-environment.ts';
import { stripFrames } from './output-frames.ts';

/** A command may take this long before Podman gives it up; the probe's own time-out comes first. */
const longestRunSeconds = 3600;
const shownOutput = 200;

/**
 * The health check that a container is made with. An image's own is switched off, as in Kubernetes. When all exec probes ask
 * the same command it becomes the health check, which only we trigger: unlike an exec by the API, which leaves two
 * processes of conmon behind for five minutes, it leaves nothing.
 */
export function healthCheckOf(container: Container, hasSecretEnvironment: boolean): Record<string, unknown> {
  const command = soleCommand(container);
  if (!command) return { Test: ['NONE'] };
  const line = hasSecretEnvironment ? withSecretEnvironment(command) : command;
  return { Test: ['CMD', ...line], Interval: 0, Timeout: longestRunSeconds * 1e9, Retries: 1 };
}

/** The command of all exec probes, if it is one. */
function soleCommand(container: Container): string[] | undefined {
  const probes = [container.startupProbe, container.livenessProbe, container.readinessProbe];
  const commands = probes.map((probe) => probe?.exec?.command).filter((command) => command !== undefined);
  const isOne = new Set(commands.map((command) => JSON.stringify(command))).size === 1;
  return isOne ? commands[0] : undefined;
}

/** Runs exec probes. A command that hangs is not started once more beside itself. */
export class ExecProbes {
  readonly #client: LibpodClient;
  readonly #running = new Map<string, Promise<void>>();

  constructor(client: LibpodClient) {
    this.#client = client;
  }

  /** Resolves when the command ended with 0. */
  async run(containerId: string, container: Container, command: readonly string[]): Promise<void> {
    const isSole = soleCommand(container) !== undefined;
    const key = isSole ? containerId : `${containerId} ${JSON.stringify(command)}`;
    // Liveness and readiness may ask the same at the same time.
    const running = this.#running.get(key);
    if (running) return await running;
    const line = usesSecretVariables(container) ? withSecretEnvironment(command) : command;
    const work = isSole ? this.#runHealthCheck(containerId) : this.#runExec(containerId, line);
    const tracked = work.finally(() => this.#running.delete(key));
    this.#running.set(key, tracked);
    await tracked;
  }

  async #runHealthCheck(containerId: string): Promise<void> {
    const { Status: status } = await this.#client.call<{ Status: string }>({
      path: `/containers/${containerId}/healthcheck`,
      timeoutMilliseconds: longestRunSeconds * 1000,
    });
    if (status === 'healthy') return;
    const { State: state } = await this.#client.call<InspectedHealth>({
      path: `/containers/${containerId}/json`,
    });
    const last = (state.Health ?? state.Healthcheck)?.Log?.at(-1);
    throw failure(last?.ExitCode ?? 1, last?.Output ?? '');
  }

  async #runExec(containerId: string, command: readonly string[]): Promise<void> {
    const { Id: id } = await this.#client.call<{ Id: string }>({
      method: 'POST',
      path: `/containers/${containerId}/exec`,
      body: { Cmd: command, AttachStdout: true, AttachStderr: true },
    });
    const output = await this.#client.bytes({
      method: 'POST',
      path: `/exec/${id}/start`,
      body: { Detach: false, Tty: false },
      timeoutMilliseconds: longestRunSeconds * 1000,
    });
    const { ExitCode: exitCode } = await this.#client.call<{ ExitCode: number }>({
      path: `/exec/${id}/json`,
    });
    if (exitCode !== 0) throw failure(exitCode, stripFrames(output));
  }
}

interface InspectedHealth {
  State: Partial<Record<'Health' | 'Healthcheck', { Log?: { ExitCode: number; Output: string }[] | null }>>;
}

function failure(exitCode: number, output: string): Error {
  const said = output.trim().slice(-shownOutput);
  return new Error(`exit code ${exitCode}${said === '' ? '' : `: ${said}`}`);
}

/** Whether values of Secrets are among the container's variables. */
function usesSecretVariables(container: Container): boolean {
  return (
    (container.env ?? []).some((variable) => variable.valueFrom?.secretKeyRef) ||
    (container.envFrom ?? []).some((source) => source.secretRef)
  );
}
