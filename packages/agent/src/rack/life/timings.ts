import { nonceSeconds } from '@selvedge/api';

/** How long the rack waits without any sign of life before it takes a step for failed, and between tries; seconds. */
export interface RackTimings {
  /** From the BMC's yes until the firmware asks what to boot: servers test themselves for minutes. */
  readonly bootSeconds: number;
  /** From the boot script until the inspection system says so. */
  readonly systemSeconds: number;
  /** While the inspection system is at a task; absent: as the phase says (`phaseRules`). */
  readonly taskSeconds?: number;
  /** From its own disk until the installed system says so. */
  readonly confirmationSeconds: number;
  /** With `confirmation: Boot`: it runs when it has not asked for the network again for so long. */
  readonly bootProofSeconds: number;
  /** After the first failure; four times as long after each other. */
  readonly retrySeconds: number;
  /** Between looks at the power state. */
  readonly powerPollSeconds: number;
  /** From the order to go off to the plug. */
  readonly gracefulOffSeconds: number;
  /** For a box that the rack does not know: between its questions. */
  readonly askAgainSeconds: number;
}

export const defaultTimings: RackTimings = {
  bootSeconds: 600,
  systemSeconds: Math.min(600, nonceSeconds),
  confirmationSeconds: 1800,
  bootProofSeconds: 120,
  retrySeconds: 20,
  powerPollSeconds: 60,
  gracefulOffSeconds: 120,
  askAgainSeconds: 10,
};

/** How often an unknown box asks before it boots its own disk. */
export const askAgainAttempts = 30;
/** Failures in a row after which a machine waits for a person. */
export const mostFailures = 4;
