/** What the door of a Podman site has of the Kubernetes API. */

const ofPods = (subresource: string, kind: string, verbs: readonly string[]) => ({
  name: `pods/${subresource}`,
  singularName: '',
  namespaced: true,
  kind,
  verbs,
});

const coreResources = {
  kind: 'APIResourceList',
  groupVersion: 'v1',
  resources: [
    {
      name: 'namespaces',
      singularName: 'namespace',
      namespaced: false,
      kind: 'Namespace',
      verbs: ['get', 'list'],
      shortNames: ['ns'],
    },
    {
      name: 'pods',
      singularName: 'pod',
      namespaced: true,
      kind: 'Pod',
      verbs: ['get', 'list'],
      shortNames: ['po'],
      categories: ['all'],
    },
    ofPods('log', 'Pod', ['get']),
    ofPods('exec', 'PodExecOptions', ['create', 'get']),
    ofPods('attach', 'PodAttachOptions', ['create', 'get']),
    ofPods('portforward', 'PodPortForwardOptions', ['create', 'get']),
  ],
};

/** The document at a path of discovery, undefined at any other. `podmanVersion`: `4.3.1`. */
export function discoveryDocument(path: string, podmanVersion: string): object | undefined {
  switch (path) {
    case '/api':
      return { kind: 'APIVersions', versions: ['v1'], serverAddressByClientCIDRs: [] };
    case '/apis':
      return { kind: 'APIGroupList', apiVersion: 'v1', groups: [] };
    case '/api/v1':
      return coreResources;
    case '/version': {
      // kubectl reads the API's version here. What is served is the same in all of them.
      const [major = '', minor = ''] = servedVersion.split('.');
      return {
        major,
        minor,
        gitVersion: `v${servedVersion}.0+podman${podmanVersion}`,
        gitCommit: '',
        gitTreeState: '',
        buildDate: '',
        goVersion: '',
        compiler: '',
        platform: `linux/${process.arch === 'x64' ? 'amd64' : process.arch}`,
      };
    }
    default:
      return undefined;
  }
}

/** The part of the API that is here is that of Kubernetes' version. */
const servedVersion = '1.30';
