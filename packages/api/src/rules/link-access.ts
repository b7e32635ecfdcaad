/**
 * What people may do at the site through the hub. `Disabled`, as `off` is a boolean in YAML 1.1, which kubectl reads.
 * Apart from the schemas, which the agent does not load.
 */
export const linkAccesses = ['Disabled', 'Read', 'Full'] as const;
export type LinkAccess = (typeof linkAccesses)[number];
