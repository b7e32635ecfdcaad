import type { Command } from 'commander';

/** The flags of `selvedge hub` that say how many Sites may leave the fleet without a person. */
export function addRemovalFlags(hub: Command): Command {
  return hub
    .option('--removal-guard-sites <n>', 'Sites that may be deleted within an hour (default 3)')
    .option('--removal-guard-percent <n>', 'or so many percent of all, if that is more (default 10)');
}
