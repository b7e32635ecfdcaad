import type { HttpClient, Kubeconfig } from '@selvedge/kube';
import { UsageError } from './exit-code.ts';
import type { CliProcess } from './terminal.ts';

export interface ConnectOptions {
  readonly kubeconfig?: string;
  readonly context?: string;
  readonly insecureSkipTlsVerify?: boolean;
}

export interface HubConnection extends AsyncDisposable {
  readonly client: HttpClient;
  readonly kubeconfig: Kubeconfig;
  /** Namespace of the kubeconfig's context. */
  readonly namespace: string | undefined;
}

/** Opens no connection yet. Throws UsageError when there is no usable kubeconfig. */
export async function connect(options: ConnectOptions, process: CliProcess): Promise<HubConnection> {
  const path = kubeconfigPath(options, process);
  const { createHttpClient, loadKubeconfig } = await import('@selvedge/kube');
  try {
    const kubeconfig = await loadKubeconfig(path, options.context);
    const client = createHttpClient({ kubeconfig, allowInsecure: options.insecureSkipTlsVerify === true });
    return {
      client,
      kubeconfig,
      namespace: kubeconfig.namespace,
      [Symbol.asyncDispose]: () => client.close(),
    };
  } catch (cause) {
    throw new UsageError(cause instanceof Error ? cause.message : String(cause), { cause });
  }
}

/** The kubeconfig in use, perhaps a list of files. Throws UsageError when there is none. */
export function kubeconfigPath(options: ConnectOptions, process: CliProcess): string {
  const path = options.kubeconfig ?? (process.env['SELVEDGE_KUBECONFIG'] || process.env['KUBECONFIG']);
  if (!path) {
    throw new UsageError(
      'no kubeconfig given: pass --kubeconfig FILE or set SELVEDGE_KUBECONFIG; the hub writes one to admin.kubeconfig in its data folder',
    );
  }
  return path;
}
