/** Values of a series' labels, in the order of the metric's label names. */
type LabelValues = readonly string[];

/** Never reached by what we label with; a fault of ours must not eat the memory. */
const maxSeries = 20_000;

/**
 * Metrics of one process and their text form for Prometheus (exposition format 0.0.4). Small on purpose: series are
 * looked up by the values of their labels and kept by who counts often, so that counting is an addition.
 */
export class MetricRegistry {
  readonly #metrics = new Map<string, Metric>();

  counter(name: string, help: string, labelNames: readonly string[] = []): Family<NumberSeries> {
    return this.#add(new Family({ name, help, labelNames, type: 'counter' }, () => new NumberSeries()));
  }

  gauge(name: string, help: string, labelNames: readonly string[] = []): Family<NumberSeries> {
    return this.#add(new Family({ name, help, labelNames, type: 'gauge' }, () => new NumberSeries()));
  }

  /** `buckets`: upper bounds, rising. */
  histogram(
    description: { name: string; help: string; labelNames?: readonly string[] },
    buckets: readonly number[],
  ): Family<HistogramSeries> {
    const { name, help, labelNames = [] } = description;
    return this.#add(
      new Family({ name, help, labelNames, type: 'histogram' }, () => new HistogramSeries(buckets)),
    );
  }

  /** A metric whose series are read when they are asked for. What throws is left out. */
  read(description: Description, read: Reader): void {
    this.#add(new ReadMetric(description, read));
  }

  get names(): string[] {
    return [...this.#metrics.keys()];
  }

  async text(): Promise<string> {
    const texts = await Promise.all([...this.#metrics.values()].map(async (metric) => metric.text()));
    return texts.join('');
  }

  #add<T extends Metric>(metric: T): T {
    const { name } = metric.description;
    if (this.#metrics.has(name)) throw new Error(`the metric ${name} is there already`);
    this.#metrics.set(name, metric);
    return metric;
  }
}

export interface Description {
  readonly name: string;
  readonly help: string;
  readonly type: 'counter' | 'gauge' | 'histogram';
  readonly labelNames: readonly string[];
}

interface Metric {
  readonly description: Description;
  text(): string | Promise<string>;
}

type Values = Iterable<readonly [LabelValues, number]>;
type Reader = () => Values | Promise<Values>;

interface Series {
  lines(name: string, labels: string): string;
}

/** One metric with a series for each combination of label values that has been seen. */
export class Family<S extends Series> implements Metric {
  readonly description: Description;
  readonly #make: () => S;
  readonly #series = new Map<string, { labels: string; series: S }>();

  constructor(description: Description, make: () => S) {
    this.description = description;
    this.#make = make;
    // What has no labels is there from the start, at nought.
    if (description.labelNames.length === 0) this.of();
  }

  /** The series with these values of the labels. */
  of(...values: string[]): S {
    const key = values.join('\0');
    const found = this.#series.get(key);
    if (found) return found.series;
    const { labelNames, name } = this.description;
    if (values.length !== labelNames.length)
      throw new Error(`the metric ${name} has ${labelNames.length} labels`);
    if (this.#series.size >= maxSeries) return this.#make();
    const series = this.#make();
    this.#series.set(key, { labels: labelText(labelNames, values), series });
    return series;
  }

  text(): string {
    const { name } = this.description;
    return (
      head(this.description) + [...this.#series.values()].map((s) => s.series.lines(name, s.labels)).join('')
    );
  }
}

export class NumberSeries implements Series {
  value = 0;

  add(amount = 1): void {
    this.value += amount;
  }

  set(value: number): void {
    this.value = value;
  }

  lines(name: string, labels: string): string {
    return `${name}${braced(labels)} ${this.value}\n`;
  }
}

export class HistogramSeries implements Series {
  readonly #bounds: readonly number[];
  readonly #counts: number[];
  #sum = 0;
  #count = 0;

  constructor(bounds: readonly number[]) {
    this.#bounds = bounds;
    this.#counts = bounds.map(() => 0);
  }

  get count(): number {
    return this.#count;
  }

  observe(value: number): void {
    this.#sum += value;
    this.#count += 1;
    const bounds = this.#bounds;
    for (let i = 0; i < bounds.length; i += 1) {
      if (value <= (bounds[i] ?? 0)) {
        this.#counts[i] = (this.#counts[i] ?? 0) + 1;
        return;
      }
    }
  }

  lines(name: string, labels: string): string {
    const separator = labels === '' ? '' : ',';
    let below = 0;
    let text = '';
    for (const [i, bound] of this.#bounds.entries()) {
      below += this.#counts[i] ?? 0;
      text += `${name}_bucket{${labels}${separator}le="${bound}"} ${below}\n`;
    }
    text += `${name}_bucket{${labels}${separator}le="+Inf"} ${this.#count}\n`;
    return `${text}${name}_sum${braced(labels)} ${this.#sum}\n${name}_count${braced(labels)} ${this.#count}\n`;
  }
}

class ReadMetric implements Metric {
  readonly description: Description;
  readonly #read: Reader;

  constructor(description: Description, read: Reader) {
    this.description = description;
    this.#read = read;
  }

  async text(): Promise<string> {
    const { name, labelNames } = this.description;
    let lines = '';
    try {
      for (const [values, value] of await this.#read()) {
        if (Number.isFinite(value)) lines += `${name}${braced(labelText(labelNames, values))} ${value}\n`;
      }
    } catch {
      return '';
    }
    return head(this.description) + lines;
  }
}

const head = ({ name, help, type }: Description): string =>
  `# HELP ${name} ${help.replace(/\\/g, '\\\\').replace(/\n/g, '\\n')}\n# TYPE ${name} ${type}\n`;

const braced = (labels: string): string => (labels === '' ? '' : `{${labels}}`);

function labelText(names: readonly string[], values: LabelValues): string {
  return names.map((name, i) => `${name}="${escapeLabel(values[i] ?? '')}"`).join(',');
}

const escapeLabel = (value: string): string =>
  value.replace(/\\/g, '\\\\').replace(/"/g, '\\"').replace(/\n/g, '\\n');
