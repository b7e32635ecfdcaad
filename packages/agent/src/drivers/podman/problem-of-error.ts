import type { Problem } from '../item-state.ts';
import { InsufficientSpaceError } from './image-space.ts';
import { ImagePullError } from './images.ts';
import { isDiskFull, LibpodError } from './libpod-client.ts';
import { PodStepError } from './pod-checks.ts';
import { HostPortError } from './services/host-ports.ts';
import { ServiceNameTakenError } from './services/service-pods.ts';
import type { TaskFailure } from '../task-runner.ts';

/** Failures in a row after which an error of unknown nature counts as lasting. */
const lastingAfter = 3;
/** A registry that wants a login: one may be on its way, or about to be made. */
const loginAwaitedMs = 300_000;

/** What a failed step means to the people who wait for it. Undefined: Podman cannot be reached, which is told apart. */
export function problemOfError({ error, count, lastedMs }: TaskFailure): Problem | undefined {
  if (error instanceof LibpodError && error.code === 0) return undefined;
  const message = error instanceof Error ? error.message.slice(0, 1000) : String(error);
  const isLasting = count >= lastingAfter;
  if (isDiskFull(error))
    return { reason: 'DiskFull', message: `the disk of this machine is full: ${message}`, isLasting: true };
  if (error instanceof InsufficientSpaceError)
    return { reason: 'InsufficientSpace', message, isLasting: true };
  if (error instanceof ImagePullError) {
    const isAwaited = error.wantsLogin && lastedMs < loginAwaitedMs;
    return { reason: 'ImagePullFailed', message, isLasting: error.isLasting && !isAwaited };
  }
  if (error instanceof HostPortError) return { reason: error.reason, message, isLasting: true };
  if (error instanceof ServiceNameTakenError)
    return { reason: 'NameInUse', message, isLasting: !error.isLeaving };
  if (error instanceof PodStepError) return { reason: 'CannotStart', message, isLasting: true };
  if (/address already in use|port is already allocated/i.test(message)) {
    return { reason: 'PortInUse', message, isLasting: true };
  }
  if (/is already in use|name .* is in use/i.test(message))
    return { reason: 'NameInUse', message, isLasting };
  return { reason: 'CannotStart', message, isLasting };
}
