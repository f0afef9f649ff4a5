import type { Ipv4 } from "../machine/identifiers.ts";

/** Where this appliance is to be found: what boot scripts and kernel lines have to tell a machine about it. */
export interface ServerFacts {
  /** network.address. */
  readonly address: Ipv4;
  readonly tftpPort: number;
  readonly httpPort: number;
  /** iSCSI portals; the first is the one that a kernel line names. */
  readonly portals: readonly [Ipv4, ...Ipv4[]];
  readonly iscsiPort: number;
  /** Addresses are another server's, and its answer is where a loader may look for its own server: `dhcp.mode: proxy`. */
  readonly isProxy?: boolean;
}

/** `http://172.16.0.1/path`, with the port where it is not HTTP's own. */
export function httpUrl(facts: ServerFacts, path: string): string {
  return `http://${authority(facts.address, facts.httpPort, 80)}${path}`;
}

/** `tftp://172.16.0.1/path` (RFC 3617), with the port where it is not TFTP's own. */
export function tftpUrl(facts: ServerFacts, path: string): string {
  return `tftp://${authority(facts.address, facts.tftpPort, 69)}${path}`;
}

function authority(address: Ipv4, port: number, usual: number): string {
  return port === usual ? address : `${address}:${port}`;
}
