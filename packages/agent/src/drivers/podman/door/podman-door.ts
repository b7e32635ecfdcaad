import { Readable } from 'node:stream';
import {
  badRequest,
  type Clock,
  matchesRequirements,
  notFound,
  parseLabelSelector,
  StatusError,
} from '@selvedge/api';
import type { LinkAnswer, LinkCall, LinkDoor, LinkUpgrade } from '../../../link/link-door.ts';
import { openStreams } from '../../../link/streams/open-streams.ts';
import type { StreamVerb } from '../../../link/streams/stream-backend.ts';
import { type LibpodClient, LibpodError } from '../libpod-client.ts';
import type { PodTemplate } from '../manifest-model.ts';
import { type ObservedContainer, type ObservedPod, observePods } from '../observe.ts';
import type { SiteIdentity } from '../ownership.ts';
import type { PodNetworkAccess } from '../pod-network-access.ts';
import { podKubernetesName } from '../pod-plan.ts';
import { discoveryDocument } from './discovery.ts';
import { parseFieldSelector } from './field-selector.ts';
import { PodBackend } from './pod-backend.ts';
import { openPodLog, readLogOptions } from './pod-log.ts';
import { type PodObject, podObject } from './pod-objects.ts';
import { namespaceTable, podTable } from './pod-table.ts';

/** What the door asks of the driver. */
export interface PodmanDoorOptions {
  readonly client: LibpodClient;
  readonly site: SiteIdentity;
  readonly network: PodNetworkAccess;
  readonly podmanVersion: string;
  readonly hostIP: string;
  readonly clock: Clock;
  /** What a pod was made of, when that is still known. */
  readonly findTemplate: (pod: ObservedPod) => PodTemplate | undefined;
  readonly findAddress: (pod: ObservedPod) => string | undefined;
  readonly isLeaving: (pod: ObservedPod) => boolean;
  readonly isReady: (containerId: string) => boolean;
  readonly restarts: (pod: ObservedPod, container: string) => number;
}

/** The path of a request for pods or namespaces, taken apart. */
interface CorePath {
  readonly namespace?: string;
  readonly resource: 'namespaces' | 'pods';
  readonly name?: string;
  readonly subresource?: string;
}

const pods = { plural: 'pods' };
const namespaces = { plural: 'namespaces' };

/**
 * A small, true part of the Kubernetes API over what this driver runs: the pods of the site with their logs, and exec, attach and
 * port-forward. What else runs in the same Podman is not there.
 */
export class PodmanDoor implements LinkDoor {
  readonly #options: PodmanDoorOptions;

  constructor(options: PodmanDoorOptions) {
    this.#options = options;
  }

  async answer(call: LinkCall, body: Readable): Promise<LinkAnswer> {
    body.resume();
    const { path, query } = splitPath(call.path);
    try {
      if (healthPaths.has(path)) return textAnswer(Readable.from(['ok']));
      const document = discoveryDocument(path, this.#options.podmanVersion);
      if (document && isReading(call.method)) return jsonAnswer(document);
      const target = parseCorePath(path);
      if (!target) throw notServed(path);
      return await this.#answerCore(call, target, query);
    } catch (error) {
      throw statusOf(error);
    }
  }

  async upgrade(call: LinkCall, protocol: string): Promise<LinkUpgrade> {
    const { path, query } = splitPath(call.path);
    const target = parseCorePath(path);
    if (!target?.name || target.resource !== 'pods' || !isStreamVerb(target.subresource)) {
      throw badRequest(`${path} cannot be upgraded: only exec, attach and portforward of pods can`);
    }
    try {
      const verb = target.subresource;
      const pod = await this.#getPod(target);
      const containerId = verb === 'portforward' ? '' : this.#runningContainer(pod, query).id;
      if (pod.infra?.state !== 'running') throw badRequest(`pod ${podKubernetesName(pod)} does not run`);
      const backend = new PodBackend({
        client: this.#options.client,
        clock: this.#options.clock,
        network: this.#options.network,
        containerId,
        address: { ip: this.#options.findAddress(pod) ?? '', pid: pod.infra.pid },
      });
      return await openStreams(
        { verb, query, headers: call.headers, protocol, signal: call.signal },
        backend,
      );
    } catch (error) {
      throw statusOf(error);
    }
  }

  async #answerCore(call: LinkCall, target: CorePath, query: URLSearchParams): Promise<LinkAnswer> {
    if (isStreamVerb(target.subresource)) {
      throw badRequest(`${target.subresource} needs a connection that is upgraded to WebSocket or SPDY/3.1`);
    }
    if (!isReading(call.method)) {
      throw new StatusError(
        'MethodNotAllowed',
        `the pods of a Podman site are what its applications say; change the Application at the hub instead of ${call.method}`,
      );
    }
    if (query.get('watch') === 'true') {
      throw new StatusError(
        'MethodNotAllowed',
        'a Podman site cannot be watched; ask again instead (watch kubectl get pods)',
      );
    }
    if (target.subresource === 'log') return await this.#answerLog(call, target, query);
    if (target.subresource !== undefined) throw notServed(splitPath(call.path).path);
    if (target.resource === 'namespaces') return await this.#answerNamespaces(call, target);
    if (target.name === undefined) return await this.#listPods(call, target, query);
    const pod = await this.#getPod(target);
    const object = this.#objectOf(pod);
    const version = tableVersion(call.headers.accept);
    if (version === undefined) return jsonAnswer(object);
    return jsonAnswer(
      podTable([{ pod: object, isLeaving: this.#options.isLeaving(pod) }], this.#now(), version),
    );
  }

  async #listPods(call: LinkCall, { namespace }: CorePath, query: URLSearchParams): Promise<LinkAnswer> {
    const labels = parseLabelSelector(query.get('labelSelector') ?? '');
    const hasFields = parseFieldSelector(query.get('fieldSelector') ?? '');
    const items = (await this.#observe())
      .filter((pod) => namespace === undefined || pod.namespace === namespace)
      .map((pod) => ({ pod: this.#objectOf(pod), isLeaving: this.#options.isLeaving(pod) }))
      .filter(({ pod }) => matchesRequirements(pod.metadata.labels, labels) && hasFields(pod))
      .sort((a, b) => (sortKey(a.pod) < sortKey(b.pod) ? -1 : 1));
    const version = tableVersion(call.headers.accept);
    if (version !== undefined) return jsonAnswer(podTable(items, this.#now(), version));
    return jsonAnswer(
      listOf(
        'PodList',
        items.map(({ pod }) => pod),
      ),
    );
  }

  async #answerNamespaces(call: LinkCall, { name }: CorePath): Promise<LinkAnswer> {
    const names = [...new Set((await this.#observe()).map((pod) => pod.namespace))].sort();
    const objects = names.map((namespace) => ({
      apiVersion: 'v1',
      kind: 'Namespace',
      metadata: {
        name: namespace,
        resourceVersion: '0',
        labels: { 'kubernetes.io/metadata.name': namespace },
      },
      spec: {},
      status: { phase: 'Active' },
    }));
    const version = tableVersion(call.headers.accept);
    if (name === undefined) {
      return jsonAnswer(
        version === undefined ? listOf('NamespaceList', objects) : namespaceTable(objects, version),
      );
    }
    const found = objects.find((object) => object.metadata.name === name);
    if (!found) throw notFound(namespaces, name);
    return jsonAnswer(version === undefined ? found : namespaceTable([found], version));
  }

  async #answerLog(call: LinkCall, target: CorePath, query: URLSearchParams): Promise<LinkAnswer> {
    const options = readLogOptions(query, this.#now());
    const pod = await this.#getPod(target);
    const { name, container } = this.#findContainer(pod, query);
    const where = `container ${JSON.stringify(name)} in pod ${JSON.stringify(podKubernetesName(pod))}`;
    if (query.get('previous') === 'true') {
      throw badRequest(`previous terminated ${where} not found: Podman keeps the log of the last start only`);
    }
    if (!container || container.state === 'created') {
      throw badRequest(`${where} is waiting to start: ContainerCreating`);
    }
    const { client } = this.#options;
    return textAnswer(await openPodLog(client, container.id, { options, signal: call.signal }));
  }

  #runningContainer(pod: ObservedPod, query: URLSearchParams): ObservedContainer {
    const { name, container } = this.#findContainer(pod, query);
    if (container?.state === 'running') return container;
    throw badRequest(
      `container ${JSON.stringify(name)} in pod ${JSON.stringify(podKubernetesName(pod))} does not run`,
    );
  }

  /** The container that a query names, or the only one. */
  #findContainer(
    pod: ObservedPod,
    query: URLSearchParams,
  ): { name: string; container: ObservedContainer | undefined } {
    const { spec, metadata } = this.#objectOf(pod);
    const names = spec.containers.map((container) => container.name);
    const all = [...(spec.initContainers ?? []).map((container) => container.name), ...names];
    const name = query.get('container') || (names.length === 1 ? names[0] : undefined);
    if (name === undefined) {
      throw badRequest(
        `a container name must be specified for pod ${metadata.name}, choose one of: [${names.join(' ')}]`,
      );
    }
    if (!all.includes(name)) {
      throw badRequest(
        `container ${name} is not valid for pod ${metadata.name}, choose one of: [${all.join(' ')}]`,
      );
    }
    return { name, container: pod.containers.find((container) => container.name === name) };
  }

  async #getPod({ namespace, name = '' }: CorePath): Promise<ObservedPod> {
    const found = (await this.#observe()).find(
      (pod) => pod.namespace === namespace && podKubernetesName(pod) === name,
    );
    if (!found) throw notFound(pods, name);
    return found;
  }

  async #observe(): Promise<ObservedPod[]> {
    const all = await observePods(this.#options.client, this.#options.site.uid);
    return all.filter((pod) => pod.role === 'pod');
  }

  #objectOf(pod: ObservedPod): PodObject {
    const { site, hostIP, findTemplate, findAddress, isLeaving, isReady, restarts } = this.#options;
    return podObject(pod, {
      site,
      hostIP,
      template: findTemplate(pod),
      podIP: findAddress(pod),
      isLeaving: isLeaving(pod),
      isReady,
      restarts: (container) => restarts(pod, container),
    });
  }

  #now(): number {
    return this.#options.clock.now().getTime();
  }
}

const healthPaths = new Set(['/healthz', '/livez', '/readyz']);

function splitPath(path: string): { path: string; query: URLSearchParams } {
  const at = path.indexOf('?');
  if (at === -1) return { path, query: new URLSearchParams() };
  return { path: path.slice(0, at), query: new URLSearchParams(path.slice(at + 1)) };
}

function parseCorePath(path: string): CorePath | undefined {
  const parts = path.replace(/\/$/, '').split('/').slice(1).map(decodePart);
  if (parts[0] !== 'api' || parts[1] !== 'v1') return undefined;
  const [, , resource, first, second, name, subresource, ...more] = parts;
  if (more.length > 0) return undefined;
  if (resource === 'pods' && first === undefined) return { resource };
  if (resource !== 'namespaces') return undefined;
  if (second === undefined) return { resource, ...(first === undefined ? {} : { name: first }) };
  if (second !== 'pods' || first === undefined) return undefined;
  return {
    resource: 'pods',
    namespace: first,
    ...(name === undefined ? {} : { name }),
    ...(subresource === undefined ? {} : { subresource }),
  };
}

function decodePart(part: string): string {
  try {
    return decodeURIComponent(part);
  } catch {
    throw badRequest('the path is not encoded as a URL');
  }
}

function isStreamVerb(subresource: string | undefined): subresource is StreamVerb {
  return subresource === 'exec' || subresource === 'attach' || subresource === 'portforward';
}

const isReading = (method: string) => method === 'GET' || method === 'HEAD';
const sortKey = ({ metadata }: PodObject) => `${metadata.namespace} ${metadata.name}`;
const listOf = (kind: string, items: readonly object[]) => ({
  kind,
  apiVersion: 'v1',
  metadata: { resourceVersion: '0' },
  items,
});

/** The version of the Table that a client wants before anything else: `v1`, `v1beta1`. */
function tableVersion(accept: string | undefined): string | undefined {
  const [first = ''] = (accept ?? '').split(',');
  return /;\s*as=Table\b/.test(first) ? (/;\s*v=(\w+)/.exec(first)?.[1] ?? 'v1') : undefined;
}

function jsonAnswer(value: object): LinkAnswer {
  const text = Buffer.from(JSON.stringify(value));
  return {
    status: 200,
    headers: { 'content-type': 'application/json', 'content-length': String(text.length) },
    body: Readable.from([text]),
  };
}

const textAnswer = (body: Readable): LinkAnswer => ({
  status: 200,
  headers: { 'content-type': 'text/plain' },
  body,
});

function notServed(path: string): StatusError {
  return new StatusError(
    'NotFound',
    `this site runs Podman: ${path} is not there, only namespaces, pods and their log, exec, attach and portforward are`,
  );
}

function statusOf(error: unknown): unknown {
  if (!(error instanceof LibpodError)) return error;
  if (error.code === 0) {
    return new StatusError('ServiceUnavailable', 'Podman does not answer at this site', { cause: error });
  }
  if (error.code === 404) {
    return new StatusError('NotFound', 'the container has gone meanwhile; ask again', { cause: error });
  }
  return new StatusError('InternalError', `Podman at this site: ${error.message}`, { cause: error });
}
