import type { Ipv4, Iqn, Mac, MachineName } from "./identifiers.ts";
import type { Machine } from "./machine.ts";

/** All machines of one configuration, found by each name that a service knows them by. Immutable. */
export class Rack {
  readonly machines: readonly Machine[];
  readonly #byName = new Map<MachineName, Machine>();
  readonly #byMac = new Map<Mac, Machine>();
  readonly #byAddress = new Map<Ipv4, Machine>();
  readonly #byTarget = new Map<Iqn, Machine>();

  constructor(machines: readonly Machine[]) {
    this.machines = machines;
    for (const machine of machines) {
      this.#byName.set(machine.name, machine);
      for (const mac of machine.macs) this.#byMac.set(mac, machine);
      if (machine.address !== undefined) this.#byAddress.set(machine.address, machine);
      this.#byTarget.set(machine.target, machine);
    }
  }

  byName(name: MachineName): Machine | undefined {
    return this.#byName.get(name);
  }

  byMac(mac: Mac): Machine | undefined {
    return this.#byMac.get(mac);
  }

  /** By reservation only; a leased address is known to the leases. */
  byAddress(address: Ipv4): Machine | undefined {
    return this.#byAddress.get(address);
  }

  byTarget(target: Iqn): Machine | undefined {
    return this.#byTarget.get(target);
  }

  /** The machines whose target this initiator may see. */
  byInitiator(initiator: Iqn): readonly Machine[] {
    return this.machines.filter((machine) => mayLogIn(machine, initiator));
  }
}

export function mayLogIn(machine: Machine, initiator: Iqn): boolean {
  return machine.anyInitiator || machine.initiators.includes(initiator);
}
