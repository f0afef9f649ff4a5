import type { SystemDisk } from "../../../src/control/system-operations.ts";
import type { DiskHealth } from "../../../src/state/health.ts";
import { amount } from "../../../src/state/words.ts";
import { type Action, type Form, type Item, type Screen, typedConfirmation } from "../screen.ts";
import { columns, facts } from "../text.ts";
import { resultOf } from "../work.ts";

export const diskScreen: Screen = {
  title: "Data disk",
  load: async (daemon, signal) => {
    const disks = await daemon.call("system.disks", {}, signal);
    const { state } = await daemon.call("status", {}, signal);
    const { pool, health } = state;
    const lines = [
      pool === undefined
        ? "There is no data disk: nothing that needs one is served."
        : `${amount(pool.freeBytes)} free of ${amount(pool.sizeBytes)} on ${pool.path} (${pool.fileSystem}).`,
      ...healthLines(health?.disk),
      "",
      disks.length === 0
        ? "No disk is there. Plug in a USB disk; it shows up here when you come back."
        : "Choose a disk to make it the data disk:",
    ];
    return { lines, items: diskItems(disks) };
  },
};

/** What the disk says of itself, where its bridge lets it through. */
export function healthLines(disk: DiskHealth | undefined): readonly string[] {
  if (disk === undefined) return [];
  const { smart, speedMbps, driver } = disk;
  const verdict = smart?.passed === undefined ? "does not say" : smart.passed ? "good" : "FAILING: copy its disks to another one now";
  const wear = smart?.wearPercent === undefined ? "" : `, ${smart.wearPercent} % worn`;
  const heat = smart?.temperatureC === undefined ? "" : `, ${smart.temperatureC} degrees`;
  const bad = smart?.badSectors === undefined || smart.badSectors === 0 ? "" : `, ${smart.badSectors} bad sectors`;
  const link = [driver, speedMbps === undefined ? undefined : `${speedMbps} Mbit/s`].filter((word) => word !== undefined).join(", ");
  return facts([
    ["disk", `${disk.device}${smart?.model === undefined ? "" : `, ${smart.model}`}`],
    ["its health", verdict + wear + heat + bad],
    ...(link === "" ? [] : [["connected by", link] as const]),
  ]);
}

const ROLES = { card: "the card it runs from", data: "the data disk", other: "has something on it", empty: "empty" } as const;

/** `after`: what follows a disk that was made the data disk. */
export function diskItems(disks: readonly SystemDisk[], after?: Action): readonly Item[] {
  const rows = columns(disks.map((disk) => [disk.name, amount(disk.sizeBytes), disk.model || "no name", ROLES[disk.role]]));
  return disks.flatMap((disk, index): Item[] => {
    if (disk.role === "card") return [];
    const label = rows[index] ?? disk.name;
    return [{ label, needs: ["system.format"], action: { kind: "form", form: formatForm(disk, after) } }];
  });
}

export function formatForm(disk: SystemDisk, after?: Action): Form {
  const contents = disk.contents.map(({ type, label }) => `${type}${label === "" ? "" : ` "${label}"`}`).join(", ");
  const lines = [
    `EVERYTHING on ${disk.name} is erased, and cannot be had back.`,
    "",
    ...facts([
      ["disk", `${disk.model || "no name"}, ${amount(disk.sizeBytes)}${disk.usb ? ", USB" : ""}`],
      ["serial", disk.serial || "none"],
      ["on it", contents || "nothing"],
    ]),
    ...(disk.role === "data" ? ["", "It is the data disk NOW: all volumes and snapshots are on it."] : []),
    "",
  ];
  return typedConfirmation(`Format ${disk.name}`, lines, disk.confirmation, {
    title: `format ${disk.name}`,
    run: async (daemon, tools) => {
      const input = { disk: disk.name, confirmation: disk.confirmation };
      await resultOf(daemon.follow("system.format", input, tools.signal), tools);
      const done = { message: `${disk.name} is the data disk; the service begins anew on it.` };
      return after === undefined ? { ...done, back: 1 } : { ...done, next: after };
    },
  });
}
