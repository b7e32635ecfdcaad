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
  inspection: ['api'],
  'machine-lab': ['api'],
  // hub only for `selvedge hub`, inspection and machine-lab for building and trying machines, all lazily.
  cli: ['api', 'kube', 'hub', 'inspection', 'machine-lab'],
  testkit: ['api', 'kube', 'store', 'apiserver', 'hub', 'agent', 'cli', 'inspection', 'machine-lab'],
};
