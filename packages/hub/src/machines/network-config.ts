import { Document, isCollection, isMap, isPair, isScalar, parseDocument, Scalar, type YAMLMap } from 'yaml';

/** Scalars stay the text that they are: what `yes` or `52:54:00:12:34:56` means is for cloud-init's reader of YAML to say. */
const readAsText = { schema: 'failsafe', uniqueKeys: false, prettyErrors: false } as const;

/** What is read is also walked through and printed, by programs that may have less room than the reader here. */
const maxDepth = 50;

/** Why a text is not cloud-init network configuration, version 1 or 2, alone or below `network:` as netplan has it; `undefined`: it is. */
export function faultOfNetworkConfig(text: string): string | undefined {
  try {
    const document = parseDocument(text, readAsText);
    const { contents: top, errors } = document;
    if (errors.length > 0 || !isMap(top) || !hasVersion(networkOf(top) ?? top)) {
      return 'must be cloud-init network configuration as YAML, with version: 1 or version: 2 at its top, without quotes';
    }
    if (isDeeperThan(maxDepth, top)) return `may be nested ${maxDepth} deep at most`;
    // Only what prints it looks for the anchors that it refers to.
    document.toString();
    return undefined;
  } catch (error) {
    return `cannot be read as YAML: ${error instanceof Error ? error.message : String(error)}`;
  }
}

/**
 * As the file `network-config` of a NoCloud seed has it: without `network:` around it, which NoCloud does not foresee: cloud-init before 22.2 (Debian 11) took
 * version 2 within it for a configuration without a version. Never throws: a text that has none, refers to anchors or cannot be read comes back as it is.
 */
export function seedNetworkConfig(text: string): string {
  // Most have none. What refers to an anchor elsewhere makes no document of its own.
  if (!/network["']?\s*:/.test(text) || /[&*]\S/.test(text)) return text;
  try {
    const { contents: top, errors } = parseDocument(text, readAsText);
    const network = errors.length === 0 && isMap(top) ? networkOf(top) : undefined;
    return network === undefined ? text : new Document(network, readAsText).toString({ lineWidth: 0 });
  } catch {
    // Stored before it would have been refused. The orders of all machines of a site are made together: one must not keep back the others.
    return text;
  }
}

function networkOf(top: YAMLMap): YAMLMap | undefined {
  const pair = top.items.find(({ key }) => isScalar(key) && key.value === 'network');
  return isMap(pair?.value) ? pair.value : undefined;
}

/** A number: for cloud-init `"2"` is no version, and the machine would come up without a network. */
function hasVersion(network: YAMLMap): boolean {
  const version = network.get('version', true);
  if (!isScalar(version) || version.type !== Scalar.PLAIN || version.tag !== undefined) return false;
  return version.value === '1' || version.value === '2';
}

function isDeeperThan(levels: number, node: unknown): boolean {
  if (!isCollection(node)) return false;
  if (levels === 0) return true;
  return node.items.some((item) =>
    isPair(item)
      ? isDeeperThan(levels - 1, item.key) || isDeeperThan(levels - 1, item.value)
      : isDeeperThan(levels - 1, item),
  );
}
