import type { FirmwareKind } from "../machine/firmware.ts";
import type { MachineName } from "../machine/identifiers.ts";
import type { Machine } from "../machine/machine.ts";
import type { Emit } from "../state/events.ts";
import { type FoundLoaders, loaderName } from "./loaders.ts";

/** Tells, once a boot, of a machine whose firmware wants a boot loader that nobody has: it would only be silent. */
export class MissingLoaders {
  readonly #found: FoundLoaders;
  readonly #emit: Emit;
  /** The latest boot of each machine that was told of. */
  readonly #told = new Map<MachineName, number>();

  constructor(found: FoundLoaders, emit: Emit) {
    this.#found = found;
    this.#emit = emit;
  }

  /** Its firmware asks for an address, and may have to be offered one without a file. */
  began(machine: Machine, boot: number, firmware: FirmwareKind): void {
    // iPXE is a loader, and a machine that boots from its own disk is to be offered none.
    if (firmware.startsWith("ipxe-") || machine.boot.kind === "local") return;
    if (loaderName(firmware, machine, this.#found) === undefined) this.tell(machine.name, boot, firmware);
  }

  tell(machine: MachineName, boot: number, firmware: FirmwareKind): void {
    if (this.#told.get(machine) === boot) return;
    this.#told.set(machine, boot);
    this.#emit({ type: "boot.noLoader", machine, boot, firmware });
  }
}
