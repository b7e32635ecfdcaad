/** Kubernetes quantities (`250m`, `16Gi`, `1e3`): exact arithmetic on their text. */
interface Quantity {
  /** In billionths, the smallest that Kubernetes knows. */
  readonly nanos: bigint;
  /** Which suffixes it is written with. */
  readonly isBinary: boolean;
}

const binary = ['', 'Ki', 'Mi', 'Gi', 'Ti', 'Pi', 'Ei'];
const decimal = ['n', 'u', 'm', '', 'k', 'M', 'G', 'T', 'P', 'E'];
const one = 1_000_000_000n;

/** Undefined: it is none. What is finer than a billionth is rounded up, as Kubernetes does. */
export function parseQuantity(text: string): Quantity | undefined {
  const match = /^([+-]?)(\d*)(?:\.(\d*))?([KMGTPE]i|[numkMGTPE]|[eE][+-]?\d{1,3})?$/.exec(text);
  const [, sign, whole = '', fraction = '', suffix = ''] = match ?? [];
  if (!match || whole + fraction === '') return undefined;
  const isBinary = suffix.endsWith('i');
  const isExponent = /^[eE][+-]?\d/.test(suffix);
  const exponent = isExponent ? Number(suffix.slice(1)) : isBinary ? 0 : 3 * (decimal.indexOf(suffix) - 3);
  const factor = isBinary ? 1024n ** BigInt(binary.indexOf(suffix)) : 1n;
  const shift = 9 + exponent - fraction.length;
  const digits = BigInt(whole + fraction) * factor;
  const nanos = shift >= 0 ? digits * 10n ** BigInt(shift) : divideUp(digits, 10n ** BigInt(-shift));
  return { nanos: sign === '-' ? -nanos : nanos, isBinary };
}

/** The shortest text, as Kubernetes writes it: whole numbers, with the largest suffix that keeps them whole. */
export function formatQuantity({ nanos, isBinary }: Quantity): string {
  if (nanos === 0n) return '0';
  // A part of one has no binary suffix.
  if (isBinary && nanos % one === 0n) {
    let value = nanos / one;
    let step = 0;
    while (step < binary.length - 1 && value % 1024n === 0n) {
      value /= 1024n;
      step += 1;
    }
    return `${value}${binary[step]}`;
  }
  let value = nanos;
  let step = 0;
  while (step < decimal.length - 1 && value % 1000n === 0n) {
    value /= 1000n;
    step += 1;
  }
  return `${value}${decimal[step]}`;
}

/** Written as the first that is not zero. What is no quantity counts as zero. */
export function sumQuantities(texts: readonly string[]): string {
  const parsed = texts.map(parseQuantity).filter((quantity) => quantity !== undefined);
  const nanos = parsed.reduce((sum, quantity) => sum + quantity.nanos, 0n);
  return formatQuantity({
    nanos,
    isBinary: parsed.find((quantity) => quantity.nanos !== 0n)?.isBinary ?? false,
  });
}

/** Whole ones of it; 0 of what is no quantity. */
export function countOf(text: string): number {
  return Number((parseQuantity(text)?.nanos ?? 0n) / one);
}

const divideUp = (value: bigint, by: bigint): bigint => (value + by - 1n) / by;
