/** In the namespace that a `LinkedCluster` has. */
export const configMapsPath = '/api/v1/namespaces/linked/configmaps';
