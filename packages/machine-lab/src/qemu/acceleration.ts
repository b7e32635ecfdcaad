import { constants } from 'node:fs';
import { access, readFile } from 'node:fs/promises';

/**
 * KVM only where the processor has it: a `/dev/kvm` that stands for something else starts without a word and then hangs or crawls, so QEMU's own fall-back does not
 * help.
 */
export async function findAcceleration(): Promise<'kvm' | 'tcg,thread=multi'> {
  const mayOpen = await access('/dev/kvm', constants.R_OK | constants.W_OK).then(
    () => true,
    () => false,
  );
  if (!mayOpen) return 'tcg,thread=multi';
  const processors = await readFile('/proc/cpuinfo', 'utf8').catch(() => '');
  return /^flags\s*:.*\s(vmx|svm)(\s|$)/m.test(processors) ? 'kvm' : 'tcg,thread=multi';
}
