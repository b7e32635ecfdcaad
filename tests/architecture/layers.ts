/**
 * Which package may import which; DESIGN section 9, docs/decisions. Production code only: tests may also import
 * testkit, which may import everything. .oxlintrc.json says the same to editors.
 */
export const layers: Readonly<Record<string, readonly string[]>> = {
  api: [],
  kube: ['api'],
  store: ['api'],
  apiserver: ['api', 'store'],
  hub: ['api', 'kube', 'store', 'apiserver'],
  agent: ['api', 'kube'],
  // hub only for `selvedge hub`, and lazily.
  cli: ['api', 'kube', 'hub'],
  testkit: ['api', 'kube', 'store', 'apiserver', 'hub', 'agent', 'cli'],
};
