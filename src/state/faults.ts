import type { Emit } from "./events.ts";
import type { FaultState, State } from "./state.ts";
import type { Store } from "./store.ts";

export type FaultName =
  | "no-data-disk"
  | "data-disk-failing"
  | "no-link"
  | "address-conflict"
  | "configuration-rejected"
  | "service-stopped"
  | "update-failed";

export interface Fault {
  /** How often the light blinks. */
  readonly number: number;
  readonly name: FaultName;
  /** For people, after "fault N:". */
  readonly words: string;
  /** What to do where whoever raises it knows nothing better. */
  readonly next: string;
  /** Machines do not get what they ask for while it stands: /healthz says so. */
  readonly stopsServing: boolean;
}

/** The numbered faults, in the order of their numbers: the light blinks the lowest that stands. */
export const FAULTS: readonly Fault[] = [
  {
    number: 1,
    name: "no-data-disk",
    words: "no data disk",
    next: "plug in the USB disk, or prepare a new one on the console",
    stopsServing: true,
  },
  {
    number: 2,
    name: "data-disk-failing",
    words: "the data disk fails or is full",
    next: "copy its disks to another one and replace it, or delete what nobody needs",
    stopsServing: false,
  },
  {
    number: 3,
    name: "no-link",
    words: "no network link",
    next: "plug the network cable into a switch that is on",
    stopsServing: true,
  },
  {
    number: 4,
    name: "address-conflict",
    words: "an address conflict, or another DHCP server",
    next: "take the other one off this network, or change network.address or dhcp.mode",
    stopsServing: false,
  },
  {
    number: 5,
    name: "configuration-rejected",
    words: "the configuration is refused, the last good one runs",
    next: 'correct the file; "rackboot check" explains what is wrong',
    stopsServing: false,
  },
  {
    number: 6,
    name: "service-stopped",
    words: "a service has stopped",
    next: 'look into "rackboot status" and the log, and restart rackboot',
    stopsServing: true,
  },
  {
    number: 7,
    name: "update-failed",
    words: "the update failed, the system before it runs",
    next: "read the reason on the console, then install the update again or another one",
    stopsServing: false,
  },
];

const BY_NAME: ReadonlyMap<FaultName, Fault> = new Map(FAULTS.map((fault) => [fault.name, fault]));

export function faultOf(name: FaultName): Fault {
  const fault = BY_NAME.get(name);
  if (fault === undefined) throw new Error(`there is no fault ${name}`);
  return fault;
}

export interface StandingFault extends FaultState {
  readonly fault: Fault;
}

/** What stands, the lowest number first. */
export function standingFaults(state: State): readonly StandingFault[] {
  return FAULTS.flatMap((fault) => {
    const standing = state.faults[fault.name];
    return standing === undefined ? [] : [{ fault, ...standing }];
  });
}

/** Why machines do not get what they ask for; empty while they do. */
export function reasonsNotToServe(state: State): readonly string[] {
  const phase = state.daemon.phase === "ready" ? [] : [`the daemon is ${state.daemon.phase}`];
  const faults = standingFaults(state).filter(({ fault }) => fault.stopsServing);
  return [...phase, ...faults.map(({ fault, reason }) => `fault ${fault.number} (${fault.name}): ${reason}`)];
}

/** One thing that is wrong: `reason` is a sentence without its full stop, `next` what a person does about it. */
export interface FaultCause {
  readonly reason: string;
  /** The table's own where absent. */
  readonly next?: string;
}

/** A fault may have a cause for each volume or service; what is beyond is told by the others. */
export const MAX_CAUSES_OF_A_FAULT = 64;
/** A bad file may have many problems; the first say enough. */
export const MAX_FAULT_REASON_CHARACTERS = 400;

/**
 * Who finds something wrong raises the fault with a cause of its own (a volume's or a service's name), and clears that
 * cause when it is mended: the fault stands while any cause does. Says `fault.raised` when it begins to stand or has
 * another reason to tell, and `fault.cleared` when the last cause is gone; raising what already stands says nothing.
 */
export class Faults {
  readonly #emit: Emit;
  readonly #causes = new Map<FaultName, Map<string, FaultCause>>();
  readonly #told = new Map<FaultName, string>();

  constructor(emit: Emit) {
    this.#emit = emit;
  }

  raise(fault: FaultName, cause: string, what: FaultCause): void {
    const causes = this.#causes.get(fault) ?? new Map<string, FaultCause>();
    if (causes.size >= MAX_CAUSES_OF_A_FAULT && !causes.has(cause)) return;
    this.#causes.set(fault, causes.set(cause, { ...what, reason: what.reason.slice(0, MAX_FAULT_REASON_CHARACTERS) }));
    this.#tell(fault, causes);
  }

  /** Of what does not stand: nothing happens. */
  clear(fault: FaultName, cause: string): void {
    const causes = this.#causes.get(fault);
    if (causes?.delete(cause) === true) this.#tell(fault, causes);
  }

  /** The cause that stands longest speaks for all, with the number of the others. */
  #tell(fault: FaultName, causes: ReadonlyMap<string, FaultCause>): void {
    const [first] = causes.values();
    if (first === undefined) {
      this.#told.delete(fault);
      this.#emit({ type: "fault.cleared", fault });
      return;
    }
    const others = causes.size === 1 ? "" : ` (and ${causes.size - 1} more)`;
    const told = { reason: first.reason + others, next: first.next ?? faultOf(fault).next };
    const key = JSON.stringify(told);
    if (this.#told.get(fault) === key) return;
    this.#told.set(fault, key);
    this.#emit({ type: "fault.raised", fault, ...told });
  }
}

/** Raises the faults that events already tell of: a refused configuration, services that do not run, a cable that is out. Returns the way out. */
export function followFaults(store: Store, faults: Faults): () => void {
  return store.subscribe((event) => {
    switch (event.type) {
      case "config.rejected":
        faults.raise("configuration-rejected", "file", { reason: event.problems.join("; ") || `${event.file} cannot be used` });
        break;
      case "config.loaded":
        faults.clear("configuration-rejected", "file");
        break;
      case "link.down":
        faults.raise("no-link", event.interface, { reason: `${event.interface}: ${event.reason}` });
        break;
      case "link.up":
        faults.clear("no-link", event.interface);
        break;
      case "volume.failed":
        if (event.storage === true) faults.raise("data-disk-failing", event.volume, { reason: `volume ${event.volume}: ${event.reason}` });
        break;
      case "volume.opened":
      case "volume.deleted":
        if (event.type === "volume.opened" || event.snapshot === undefined) faults.clear("data-disk-failing", event.volume);
        break;
      case "volume.full":
        faults.raise("data-disk-failing", `full ${event.volume}`, {
          reason: `volume ${event.volume} cannot grow: no space left where it is stored`,
          next: "delete what nobody needs, or give the store a larger disk",
        });
        break;
      case "volume.eased":
        faults.clear("data-disk-failing", `full ${event.volume}`);
        break;
      case "dhcp.conflict":
        faults.raise("address-conflict", `address ${event.address}`, {
          reason: `${event.address} is in use by ${event.mac ?? "somebody"}, who was not given it`,
          next: "take that address from whoever has it, or out of dhcp.range",
        });
        break;
      case "dhcp.conflictOver":
        faults.clear("address-conflict", `address ${event.address}`);
        break;
      case "network.conflict":
        faults.raise("address-conflict", `own ${event.address}`, {
          reason: `${event.address}, the server's own address, is also that of ${event.mac}: machines reach now the one, now the other`,
          next: "take that host off this network, or give either another address (network.address)",
        });
        break;
      case "network.conflictOver":
        faults.clear("address-conflict", `own ${event.address}`);
        break;
      case "dhcp.rogue":
        faults.raise("address-conflict", `server ${event.server}`, {
          reason: `another DHCP server is on this network: ${event.server}${event.mac === undefined ? "" : ` (${event.mac})`}`,
          next: "switch it off, set dhcp.mode to proxy, or name it in dhcp.others if it shall be there",
        });
        break;
      case "dhcp.rogueGone":
        faults.clear("address-conflict", `server ${event.server}`);
        break;
      case "service.failed":
        faults.raise("service-stopped", event.service, { reason: `${event.service}: ${event.reason}` });
        break;
      case "service.started":
        faults.clear("service-stopped", event.service);
        break;
      default:
    }
  });
}
