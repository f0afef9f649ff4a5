import { mkdir, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import type { System } from "../../src/control/system-operations.ts";
import type { Faults } from "../../src/state/faults.ts";
import type { Store } from "../../src/state/store.ts";
import { openCard } from "./card.ts";
import { SlotError } from "./slots.ts";
import { Updater } from "./updater.ts";

/**
 * What init hands to the kernel with the restart, where it is there (reboot(2), LINUX_REBOOT_CMD_RESTART2). A Pi's firmware takes
 * "0 tryboot" as "the default partition, trying" (Raspberry Pi documentation, "Fail-safe OS updates").
 */
export const RESTART_ARGUMENT_FILE = "/run/rackboot/restart-argument";
export const TRY_ARGUMENT = "0 tryboot";

/** Undefined where the system was not started from a card of ours. */
export function openUpdates(parts: {
  readonly version: string;
  readonly store: Store;
  readonly faults: Faults;
  readonly system: System | undefined;
}): Updater | undefined {
  const card = openCard();
  if (card === undefined) return undefined;
  const { version, store, faults, system } = parts;
  return new Updater({
    card,
    version,
    store,
    faults,
    statusFile: join(card.layout.stateFolder, "rauc.status"),
    reboot: async (tryOther) => {
      if (system === undefined)
        throw new SlotError('this daemon does not run the board; restart by hand with rackboot-restart "0 tryboot"');
      if (tryOther) {
        await mkdir(dirname(RESTART_ARGUMENT_FILE), { recursive: true });
        await writeFile(RESTART_ARGUMENT_FILE, TRY_ARGUMENT);
      }
      await system.reboot();
    },
  });
}
