import { z } from "zod";
import type { EntriesReport, MoveReport } from "../machine/boot-entries.ts";
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
  /** `nics`: drivers (`e1000e`) or PCI identifiers (`8086:10d3`) of the other hardware. Without `entry`: what boots next. */
  readonly "machine.check": {
    readonly input: { readonly name: string; readonly nics: readonly string[]; readonly entry?: number };
    readonly output: MoveReport;
  };
  /** Without `entry`: what the disk says. */
  readonly "machine.boot": {
    readonly input: { readonly name: string; readonly entry?: number; readonly once?: boolean };
    readonly output: EntriesReport;
  };
}

export function entryOperations(machines: () => readonly Machine[], work: EntryWork): Operations {
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
  return {
    "machine.entries": call(z.strictObject({ name: z.string() }), ({ name }) => looked(() => work.entries(fromDisk(name)))),
    "machine.check": call(
      z.strictObject({ name: z.string(), nics: z.array(z.string().max(64)).max(16), entry: z.int().min(0).exactOptional() }),
      ({ name, nics, entry }) => looked(() => work.check(withDisk(name), nics, entry)),
    ),
    "machine.boot": call(
      z.strictObject({ name: z.string(), entry: z.int().min(0).exactOptional(), once: z.boolean().exactOptional() }),
      ({ name, entry, once }) => looked(() => work.choose(fromDisk(name), entry, once === true)),
    ),
  };
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
