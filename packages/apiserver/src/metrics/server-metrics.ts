import type { HistogramSeries, MetricRegistry, NumberSeries } from './metric-registry.ts';

/** Upper bounds in seconds; those of kube-apiserver. */
const durationBuckets = [
  0.005, 0.025, 0.05, 0.1, 0.2, 0.4, 0.6, 0.8, 1, 1.25, 1.5, 2, 3, 4, 5, 6, 8, 10, 15, 20, 30, 45, 60,
];
const storeBuckets = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10];
const sizeBuckets = [1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9];

/** How a request is labelled: every value comes from a set of ours, whatever was sent. */
export interface RequestLabels {
  readonly verb: string;
  readonly dryRun: string;
  readonly group: string;
  readonly version: string;
  readonly resource: string;
  readonly subresource: string;
  /** `resource` (one object), `namespace`, `cluster`, or '' for what is no resource. */
  readonly scope: string;
}

/** Series of the requests with one set of labels. */
export interface RequestSeries {
  readonly total: (code: number) => NumberSeries;
  readonly duration: HistogramSeries;
  readonly responseSize: HistogramSeries;
  readonly longRunning: () => NumberSeries;
}

const component = 'apiserver';

/** What the API server counts, under kube-apiserver's names where it has one for the same thing. */
export class ServerMetrics {
  readonly registry: MetricRegistry;
  readonly #requests;
  readonly #durations;
  readonly #sizes;
  readonly #longRunning;
  readonly #watchEvents;
  readonly #store;
  readonly #series = new Map<string, RequestSeries>();
  readonly rejected;
  readonly authentications;
  readonly auditEvents;

  constructor(registry: MetricRegistry) {
    this.registry = registry;
    const place = ['group', 'version', 'resource', 'subresource', 'scope', 'component'];
    this.#requests = registry.counter(
      'apiserver_request_total',
      'Requests answered, by what they asked for and HTTP code.',
      ['verb', 'dry_run', ...place, 'code'],
    );
    this.#durations = registry.histogram(
      {
        name: 'apiserver_request_duration_seconds',
        help: 'Time from the first line of a request to the end of its answer. Without watches and other long-running ones.',
        labelNames: ['verb', 'dry_run', ...place],
      },
      durationBuckets,
    );
    this.#sizes = registry.histogram(
      {
        name: 'apiserver_response_sizes',
        help: 'Bytes of answers before compression. Without long-running ones.',
        labelNames: ['verb', ...place],
      },
      sizeBuckets,
    );
    this.#longRunning = registry.gauge(
      'apiserver_longrunning_requests',
      'Watches and other streams that are open.',
      ['verb', ...place],
    );
    this.#watchEvents = registry.counter('apiserver_watch_events_total', 'Events sent to watchers.', [
      'group',
      'version',
      'resource',
    ]);
    this.#store = registry.histogram(
      {
        name: 'selvedge_store_request_duration_seconds',
        help: 'Time of a request to the store (SQLite or PostgreSQL).',
        labelNames: ['operation', 'type'],
      },
      storeBuckets,
    );
    this.rejected = registry.counter(
      'apiserver_flowcontrol_rejected_requests_total',
      'Requests answered with 429.',
      ['priority_level', 'reason'],
    );
    this.authentications = registry.counter('authentication_attempts', 'Authenticated requests, by result.', [
      'result',
    ]);
    this.auditEvents = registry.counter(
      'apiserver_audit_event_total',
      'Audit events handed to the audit log.',
    );
  }

  requests(labels: RequestLabels): RequestSeries {
    const { verb, dryRun, group, version, resource, subresource, scope } = labels;
    const key = `${verb}\0${dryRun}\0${group}\0${version}\0${resource}\0${subresource}\0${scope}`;
    const found = this.#series.get(key);
    if (found) return found;
    const place = [group, version, resource, subresource, scope, component];
    const codes = new Map<number, NumberSeries>();
    const series: RequestSeries = {
      total: (code) => {
        const known = codes.get(code) ?? this.#requests.of(verb, dryRun, ...place, String(code));
        codes.set(code, known);
        return known;
      },
      duration: this.#durations.of(verb, dryRun, ...place),
      responseSize: this.#sizes.of(verb, ...place),
      longRunning: () => this.#longRunning.of(verb, ...place),
    };
    this.#series.set(key, series);
    return series;
  }

  watchEvents(ref: {
    readonly group: string;
    readonly version: string;
    readonly plural: string;
  }): NumberSeries {
    return this.#watchEvents.of(ref.group, ref.version, ref.plural);
  }

  store(operation: string, type: string): HistogramSeries {
    return this.#store.of(operation, type);
  }
}
