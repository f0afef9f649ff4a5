import { z } from "zod";
import type { EntriesReport } from "../machine/boot-entries.ts";
import type { Machine } from "../machine/machine.ts";
import { ControlError } from "./errors.ts";
import { call, type Operations } from "./operation.ts";

/** What machines boot from their disks, by whoever looks into them. Both throw errors whose `code` is ERR_LOOK. */
export interface EntryWork {
  entries(machine: Machine): Promise<EntriesReport>;
  choose(machine: Machine, index: number | undefined, once: boolean): Promise<EntriesReport>;
}

export interface EntryCalls {
  readonly "machine.entries": { readonly input: { readonly name: string }; readonly output: EntriesReport };
  /** Without `entry`: what the disk says. */
  readonly "machine.boot": {
    readonly input: { readonly name: string; readonly entry?: number; readonly once?: boolean };
    readonly output: EntriesReport;
  };
}

export function entryOperations(machines: () => readonly Machine[], work: EntryWork): Operations {
  const fromDisk = (name: string): Machine => {
    const machine = machines().find((other) => other.name === name);
    if (machine === undefined) {
      throw new ControlError("ERR_NOT_FOUND", `there is no machine ${name}; "rackboot machine list" names them all`);
    }
    const { boot } = machine;
    if (boot.kind === "disk" && boot.via === "loader") return machine;
    throw new ControlError("ERR_REFUSED", `${name} is not handed what its disk would boot; give it "boot: disk" in the configuration`);
  };
  return {
    "machine.entries": call(z.strictObject({ name: z.string() }), ({ name }) => looked(() => work.entries(fromDisk(name)))),
    "machine.boot": call(
      z.strictObject({ name: z.string(), entry: z.int().min(0).exactOptional(), once: z.boolean().exactOptional() }),
      ({ name, entry, once }) => looked(() => work.choose(fromDisk(name), entry, once === true)),
    ),
  };
}

/** A disk that cannot be read is the caller's to know of, and no bug. */
async function looked(look: () => Promise<EntriesReport>): Promise<EntriesReport> {
  try {
    return await look();
  } catch (cause) {
    if ((cause as { readonly code?: unknown }).code !== "ERR_LOOK") throw cause;
    throw new ControlError("ERR_REFUSED", (cause as Error).message, { cause });
  }
}
