const stages = ['alpha', 'beta', ''];

/** Order of versions in discovery: the best first, as Kubernetes (`v2`, `v1`, `v1beta1`, `v1alpha1`, others). */
export function byPriority(a: string, b: string): number {
  const [left, right] = [rankOf(a), rankOf(b)];
  if (!left || !right) return Number(Boolean(right)) - Number(Boolean(left)) || (a < b ? -1 : 1);
  return right.stage - left.stage || right.major - left.major || right.minor - left.minor;
}

function rankOf(version: string): { stage: number; major: number; minor: number } | undefined {
  const [, major, stage = '', minor = '0'] = /^v(\d+)(?:(alpha|beta)(\d+))?$/.exec(version) ?? [];
  return major === undefined
    ? undefined
    : { stage: stages.indexOf(stage), major: Number(major), minor: Number(minor) };
}
