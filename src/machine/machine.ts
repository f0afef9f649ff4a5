import type { ImageName, Ipv4, Iqn, Mac, MachineName, ProfileName, VolumeName } from "./identifiers.ts";

/** What a machine is handed when its firmware asks. Paths are absolute. */
export type BootSource =
  | { readonly kind: "disk"; readonly via: "loader" | "sanboot" }
  | { readonly kind: "local" }
  | { readonly kind: "kernel"; readonly kernel: string; readonly initrd: string; readonly loader?: string; readonly arguments: string }
  | { readonly kind: "install"; readonly image: ImageName; readonly profile?: ProfileName }
  | { readonly kind: "rescue"; readonly image: ImageName }
  | { readonly kind: "uki"; readonly file: string };

/** The addresses that begin like this one; a prefix of 32 bits is one address. */
export interface Network {
  readonly address: Ipv4;
  readonly prefixLength: number;
}

/**
 * THE concept: one machine of the rack. DHCP, TFTP, HTTP and iSCSI are views of it.
 * It is a value: a changed configuration makes new machines, nobody edits one.
 */
export interface Machine {
  readonly name: MachineName;
  /** At least one; the key of everything. */
  readonly macs: readonly Mac[];
  readonly address?: Ipv4;
  /** Who may log in to its target. The first is the one that its kernel line is given; `any` still has one for that. */
  readonly initiators: readonly [Iqn, ...Iqn[]];
  readonly anyInitiator: boolean;
  /** Where its initiators may log in from; absent: anywhere. */
  readonly initiatorNetworks?: readonly Network[];
  readonly target: Iqn;
  /** Index is the LUN. */
  readonly disks: readonly VolumeName[];
  readonly chap: boolean;
  /** Appended to whatever kernel line it boots. */
  readonly arguments: string;
  readonly boot: BootSource;
  readonly ephemeral: boolean;
  readonly hostname: string;
}
