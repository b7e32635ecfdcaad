import type { Command } from 'commander';

/** The flags of `selvedge hub` that say whether image registries are asked how large images are. */
export function addRegistryFlags(
  hub: Command,
  collect: (value: string, previous: string[] | undefined) => string[],
): Command {
  return hub
    .option('--no-registry-lookup', 'ask no image registry for sizes; plans know fewer')
    .option('--insecure-registry <host>', 'registry that speaks http; may be repeated', collect)
    .option('--private-registry <host>', 'registry in a private network; may be repeated', collect)
    .option(
      '--registry-storage <where>',
      "where the hub's own registry keeps images: file:///DIRECTORY, s3://BUCKET/PREFIX?endpoint=URL&region=NAME, oci://HOST/PREFIX or off",
    )
    .option('--registry-storage-credentials <file>', 'credentials for --registry-storage');
}
