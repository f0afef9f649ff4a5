import type { Ipv4, Iqn } from "../machine/identifiers.ts";
import type { Machine } from "../machine/machine.ts";
import type { ConnectionId, LunMapping } from "../native/data-plane.ts";
import type { Nexus } from "../scsi/reservations.ts";
import type { Portal } from "./discovery.ts";
import type { LoginState } from "./login.ts";
import type { TextState } from "./text-exchange.ts";

/** What the control plane knows of a connection while the data plane has its socket. */
export interface Connection {
  readonly id: ConnectionId;
  readonly address: Ipv4;
  /** Address and port, for people. */
  readonly peer: string;
  /** The portal that it came through, as the initiator reached it. */
  readonly portal: Portal;
  phase: Phase;
}

export type Phase =
  | { readonly kind: "login"; readonly state: LoginState }
  | { readonly kind: "admitting" }
  | FullFeature
  | { readonly kind: "ending" };

export interface FullFeature {
  readonly kind: "full-feature";
  readonly initiator: Iqn;
  machine: Machine | undefined;
  /** Absent in a discovery session, which has no commands. */
  readonly nexus: Nexus | undefined;
  luns: readonly LunMapping[];
  text: TextState;
  readonly maxDataLength: number;
}
