import type { FirmwareKind } from "./firmware.ts";
import type { Ipv4, Iqn, VolumeName } from "./identifiers.ts";
import type { Machine } from "./machine.ts";

/**
 * What rackboot.yaml says, after reading: names are branded, sizes are octets, times are milliseconds, relative paths
 * are absolute. {@link "./config-schema.ts"} is the file's own shape; docs/configuration.md explains every key.
 */
export interface Config {
  readonly network: NetworkConfig;
  readonly dhcp: DhcpConfig;
  readonly tftp: TftpConfig;
  readonly http: HttpConfig;
  readonly iscsi: IscsiConfig;
  readonly storage: { readonly path: string };
  readonly volumes: ReadonlyMap<VolumeName, VolumeConfig>;
  readonly machines: readonly Machine[];
  readonly setup: SetupConfig;
}

export interface NetworkConfig {
  readonly interface: string;
  readonly address: Ipv4;
  /** 0 to 32. */
  readonly prefixLength: number;
  readonly manage: boolean;
  readonly vlan?: number;
}

/** The network device that has the rack's address: with a VLAN, the interface of that VLAN under its usual name. */
export function deviceOf({ interface: name, vlan }: NetworkConfig): string {
  return vlan === undefined ? name : `${name}.${vlan}`;
}

/** Infinite leases are `Infinity`. */
export type DurationMs = number;

export interface DhcpConfig {
  readonly mode: "server" | "proxy" | "off";
  readonly range?: { readonly first: Ipv4; readonly last: Ipv4 };
  readonly leaseMs: DurationMs;
  readonly unknown: "ignore" | "lease" | "pending";
  readonly router?: Ipv4;
  readonly dns: readonly Ipv4[];
  readonly domain?: string;
  readonly ntp: readonly Ipv4[];
  readonly mtu?: number;
  /** Option number -> its octets, ready for the wire. */
  readonly options: ReadonlyMap<number, Uint8Array>;
  readonly relay: boolean;
  /** Other servers that may be there. */
  readonly others: readonly Ipv4[];
  /** Beside those that are built in; of the same name: instead of it, null: without it. */
  readonly quirks: ReadonlyMap<string, DhcpQuirk | null>;
  /** Not 67 only in tests and development. */
  readonly port: number;
}

/** What some clients need differently, and how they are told from others. */
export interface DhcpQuirk {
  /** What their vendor class (option 60) begins with. Of this and `macs`, what is given must hold. */
  readonly vendorClass?: string;
  /** What their MAC address begins with, as `b8:27:eb`: one of them. */
  readonly macs?: readonly string[];
  /** What they are, whatever they say. */
  readonly firmware?: FirmwareKind;
  /** They are told nothing. */
  readonly ignored?: boolean;
  /** Replies are broadcast, though they do not ask for that. */
  readonly broadcast?: boolean;
  /** Options never travel in `file` and `sname`. */
  readonly plain?: boolean;
  /** Texts end in a NUL (RFC 2132, 2 forbids it). */
  readonly terminated?: boolean;
  /** They live on the offer and send no REQUEST. */
  readonly skipsRequest?: boolean;
  /** Options that they are always sent; null: never. */
  readonly options?: ReadonlyMap<number, Uint8Array | null>;
}

export interface TftpConfig {
  /** 0: the system chooses. */
  readonly port: number;
  /** Folder of extra static files that every client may read. */
  readonly root?: string;
  readonly windowsize: number;
  readonly upload?: string;
}

export interface HttpConfig {
  readonly port: number;
  readonly https?: { readonly port: number; readonly certificate: string; readonly key: string };
}

/** The longest that is still a password. */
export const MAX_PASSWORD_CHARACTERS = 256;
export const MIN_PASSWORD_CHARACTERS = 8;

/** Answers to the last two questions of a new appliance, for whoever gives them from a laptop. */
export interface SetupConfig {
  readonly password?: string;
  /** A serial number. */
  readonly dataDisk?: string;
}

export interface IscsiConfig {
  readonly port: number;
  readonly prefix: Iqn;
  readonly portals: readonly Ipv4[];
  readonly threads: number;
  readonly memoryBytes: number;
  readonly secrets?: string;
}

export type VolumeSource =
  | { readonly kind: "sparse"; readonly sizeBytes: number }
  | { readonly kind: "clone"; readonly origin: string; readonly sizeBytes?: number }
  | { readonly kind: "file"; readonly path: string };

export interface VolumeConfig {
  readonly source: VolumeSource;
  readonly readOnly: boolean;
  readonly shared: boolean;
  readonly blockSize: 512 | 4096;
  readonly writeCache: boolean;
  readonly thin: boolean;
  readonly removable: boolean;
  readonly serial?: string;
}
