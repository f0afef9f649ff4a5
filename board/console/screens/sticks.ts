import type { StickFile } from "../../../src/control/system-operations.ts";
import { amount } from "../../../src/state/words.ts";
import type { Action, Item, Screen, View } from "../screen.ts";
import { columns } from "../text.ts";

/** An item that leads to the files on USB sticks whose names end so; `choose` says what is done with one. */
export function stickItem(label: string, ending: string, choose: (file: StickFile) => Action): Item {
  return { label, needs: ["system.sticks"], action: { kind: "open", screen: stickScreen(label, ending, choose) } };
}

function stickScreen(title: string, ending: string, choose: (file: StickFile) => Action): Screen {
  return {
    title,
    load: async (daemon, signal) => sticksView(await daemon.call("system.sticks", { ending }, signal), ending, choose),
  };
}

export function sticksView(files: readonly StickFile[], ending: string, choose: (file: StickFile) => Action): View {
  const rows = columns(
    files.map(({ name, stick, sizeBytes }) => [name, amount(sizeBytes), stick]),
    [44, 6, 20],
  );
  const lines =
    files.length === 0
      ? [
          `No *${ending} file is on a USB stick here. Sticks with FAT, exFAT or ext4 are read;`,
          "plug one in, and press Enter after some seconds to look again.",
        ]
      : ["Choose a file. The stick is only read, and can be pulled out when the work is done."];
  return { lines, items: files.map((file, index): Item => ({ label: rows[index] ?? file.name, action: choose(file) })) };
}
