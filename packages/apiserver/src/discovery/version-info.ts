/** Which Kubernetes API this one follows: clients decide by it what they may ask for. */
const kubernetesVersion = { major: '1', minor: '33' } as const;
export const productVersion = '0.1.0';

/** `version.Info`. */
export function versionInfo(): Record<string, string> {
  const { major, minor } = kubernetesVersion;
  return {
    major,
    minor,
    gitVersion: `v${major}.${minor}.0-selvedge.${productVersion}`,
    gitCommit: '',
    gitTreeState: '',
    buildDate: '',
    goVersion: '',
    compiler: 'node',
    platform: `${process.platform}/${process.arch}`,
  };
}
