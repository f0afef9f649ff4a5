import { type Ipv4, type Iqn, ipv4ToNumber, type Mac, type MachineName } from "./identifiers.ts";
import type { Machine, Network } from "./machine.ts";

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

  /** The machines whose target this initiator may see from there. */
  byInitiator(initiator: Iqn, from: Ipv4): readonly Machine[] {
    return this.machines.filter((machine) => mayLogIn(machine, initiator, from));
  }
}

/** `from` is the address that the initiator's connection comes from. */
export function mayLogIn({ anyInitiator, initiators, initiatorNetworks }: Machine, initiator: Iqn, from: Ipv4): boolean {
  if (!anyInitiator && !initiators.includes(initiator)) return false;
  return initiatorNetworks === undefined || initiatorNetworks.some((network) => isIn(network, from));
}

function isIn({ address, prefixLength }: Network, from: Ipv4): boolean {
  const hosts = 2 ** (32 - prefixLength);
  return Math.floor(ipv4ToNumber(address) / hosts) === Math.floor(ipv4ToNumber(from) / hosts);
}
