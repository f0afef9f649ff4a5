import { z } from "zod";
import type { EntriesReport, MoveReport } from "../machine/boot-entries.ts";
import { type Mac, parseMac } from "../machine/identifiers.ts";
import type { Machine } from "../machine/machine.ts";
import { ControlError } from "./errors.ts";
import { call, type Operations } from "./operation.ts";

/** What machines boot from their disks, by whoever looks into them. All of it throws errors whose `code` is ERR_LOOK. */
export interface EntryWork {
  entries(machine: Machine): Promise<EntriesReport>;
  choose(machine: Machine, index: number | undefined, once: boolean): Promise<EntriesReport>;
  check(machine: Machine, nics: readonly string[], index: number | undefined): Promise<MoveReport>;
}

export interface EntryCalls {
  readonly "machine.entries": { readonly input: { readonly name: string }; readonly output: EntriesReport };
  /**
   * `nics`: drivers (`e1000e`) or PCI identifiers (`8086:10d3`) of the other hardware. `like`: another machine, or a MAC
   * address, whose network card DHCP has shown. With neither, the card that it has shown of the machine itself, if it has.
   * Without `entry`: what boots next.
   */
  readonly "machine.check": {
    readonly input: { readonly name: string; readonly nics: readonly string[]; readonly like?: string; readonly entry?: number };
    readonly output: MoveReport;
  };
  /** Without `entry`: what the disk says. */
  readonly "machine.boot": {
    readonly input: { readonly name: string; readonly entry?: number; readonly once?: boolean };
    readonly output: EntriesReport;
  };
}

/** `cardOf`: the PCI identifier that DHCP has shown of the network card with one of these MAC addresses. */
export function entryOperations(
  machines: () => readonly Machine[],
  work: EntryWork,
  cardOf: (macs: readonly Mac[]) => string | undefined,
): Operations {
  const withDisk = (name: string): Machine => {
    const machine = machines().find((other) => other.name === name);
    if (machine !== undefined) return machine;
    throw new ControlError("ERR_NOT_FOUND", `there is no machine ${name}; "rackboot machine list" names them all`);
  };
  const fromDisk = (name: string): Machine => {
    const machine = withDisk(name);
    const { boot } = machine;
    if (boot.kind === "disk" && boot.via === "loader") return machine;
    throw new ControlError("ERR_REFUSED", `${name} is not handed what its disk would boot; give it "boot: disk" in the configuration`);
  };
  const shownOf = (who: string): string => {
    const machine = machines().find((other) => other.name === who);
    const card = cardOf(machine?.macs ?? [macOf(who)]);
    if (card !== undefined) return card;
    const why = "only iPXE says which one it has, when it asks for an address";
    throw new ControlError("ERR_REFUSED", `DHCP has not shown the network card of ${who}: ${why}; name the card by --nic`);
  };
  return {
    "machine.entries": call(z.strictObject({ name: z.string() }), ({ name }) => looked(() => work.entries(fromDisk(name)))),
    "machine.check": call(
      z.strictObject({
        name: z.string(),
        nics: z.array(z.string().max(64)).max(16),
        like: z.string().max(64).exactOptional(),
        entry: z.int().min(0).exactOptional(),
      }),
      ({ name, nics, like, entry }) => {
        const machine = withDisk(name);
        const shown = like === undefined ? (nics.length === 0 ? cardOf(machine.macs) : undefined) : shownOf(like);
        return looked(() => work.check(machine, shown === undefined ? nics : [...nics, shown], entry));
      },
    ),
    "machine.boot": call(
      z.strictObject({ name: z.string(), entry: z.int().min(0).exactOptional(), once: z.boolean().exactOptional() }),
      ({ name, entry, once }) => looked(() => work.choose(fromDisk(name), entry, once === true)),
    ),
  };
}

function macOf(who: string): Mac {
  try {
    return parseMac(who);
  } catch {
    throw new ControlError("ERR_NOT_FOUND", `there is no machine ${who}, and it is no MAC address; "rackboot machine list" names them all`);
  }
}

/** A disk that cannot be read is the caller's to know of, and no bug. */
async function looked<T>(look: () => Promise<T>): Promise<T> {
  try {
    return await look();
  } catch (cause) {
    if ((cause as { readonly code?: unknown }).code !== "ERR_LOOK") throw cause;
    throw new ControlError("ERR_REFUSED", (cause as Error).message, { cause });
  }
}
