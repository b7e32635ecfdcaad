import type { Protocol } from '../manifest-model.ts';

export interface ServiceRoute {
  readonly protocol: Protocol;
  /** Port of the Service. */
  readonly port: number;
  readonly endpoints: readonly { readonly ip: string; readonly port: number }[];
}

/**
 * nftables rules for the network namespace of one Service's pod: connections to its address go to the endpoints in turn, with
 * the Service's address as their source so that answers come back the same way. One transaction replaces everything, so
 * no connection falls into a gap; connections that are open stay with their endpoint. A port without endpoints has no
 * rule and nobody listening: the kernel refuses the connection.
 */
export function serviceTable(address: string, routes: readonly ServiceRoute[]): string {
  const rules = routes.filter((route) => route.endpoints.length > 0).map((route) => rule(address, route));
  return [
    'table ip selvedge',
    'delete table ip selvedge',
    'table ip selvedge {',
    chain('arriving', 'type nat hook prerouting priority dstnat; policy accept;', rules),
    // Rootless Podman's port forwarder connects from inside the namespace.
    chain('own', 'type nat hook output priority -100; policy accept;', rules),
    chain('leaving', 'type nat hook postrouting priority srcnat; policy accept;', [
      'ct status dnat masquerade',
    ]),
    // Packets leave by the interface by which they came; clients must not be told to take the shorter way past us.
    chain('advice', 'type filter hook output priority filter; policy accept;', ['icmp type redirect drop']),
    '}',
    '',
  ].join('\n');
}

function chain(name: string, head: string, rules: readonly string[]): string {
  return [` chain ${name} {`, `  ${head}`, ...rules.map((text) => `  ${text}`), ' }'].join('\n');
}

function rule(address: string, { protocol, port, endpoints }: ServiceRoute): string {
  const match = `ip daddr ${address} ${protocol.toLowerCase()} dport ${port}`;
  const [first] = endpoints;
  if (endpoints.length === 1 && first) return `${match} dnat ip to ${first.ip}:${first.port}`;
  const elements = endpoints.map(({ ip, port: target }, index) => `${index} : ${ip} . ${target}`);
  return `${match} dnat ip to numgen inc mod ${endpoints.length} map { ${elements.join(', ')} }`;
}
