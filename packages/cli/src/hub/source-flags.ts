import type { Command } from 'commander';

/** The flags of `selvedge hub` that say from where applications may come. */
export function addSourceFlags(
  hub: Command,
  collect: (value: string, previous: string[] | undefined) => string[],
): Command {
  return hub
    .option(
      '--source-host <host>',
      'host that sources are read from, wherever it is; *.DOMAIN, or public: all at public addresses (default public); may be repeated',
      collect,
    )
    .option(
      '--insecure-source-host <host>',
      'host that sources are read from by http too; may be repeated',
      collect,
    )
    .option('--helm-program <file>', 'program that renders charts (default helm, in the PATH)')
    .option(
      '--allow-render-network',
      'run kustomize and helm also where they cannot be kept from the network (default: refuse)',
    );
}
