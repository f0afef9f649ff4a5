import type { PoolReport, SnapshotReport, VolumeReport } from "../machine/volume.ts";
import { amount, clock, type Output, table } from "./output.ts";

type Paint = Pick<Output, "paint">;

export function poolLine({ path, fileSystem, reflink, sizeBytes, freeBytes }: PoolReport, { paint }: Paint): string {
  const percent = sizeBytes === 0 ? 0 : Math.floor(100 * (1 - freeBytes / sizeBytes));
  const full =
    percent >= 95 ? paint("red", `${percent} % full`) : percent >= 80 ? paint("yellow", `${percent} % full`) : `${percent} % full`;
  const copies = reflink ? "clones share their blocks" : paint("yellow", "no reflink: clones and snapshots are full copies");
  return `${path} on ${fileSystem}, ${amount(freeBytes)} free of ${amount(sizeBytes)}, ${full}; ${copies}`;
}

export function volumeTable(volumes: readonly VolumeReport[], { paint }: Paint): string {
  const header = ["VOLUME", "SIZE", "USED", "SHARED", "SNAPSHOTS", "OF", "ORIGIN"].map((cell) => paint("dim", cell));
  const rows = volumes.map((volume) => [
    volume.name,
    amount(volume.sizeBytes),
    amount(volume.usedBytes),
    volume.sharedBytes === undefined ? "-" : amount(volume.sharedBytes),
    snapshotsCell(volume.snapshots),
    volume.machines.join(" ") || "-",
    volume.origin ?? volume.file ?? "-",
  ]);
  return table([header, ...rows]);
}

function snapshotsCell(snapshots: readonly SnapshotReport[]): string {
  if (snapshots.length === 0) return "-";
  const alone = snapshots.reduce((sum, { aloneBytes = 0 }) => sum + aloneBytes, 0);
  return `${snapshots.length} (${amount(alone)} alone)`;
}

export function snapshotTable(snapshots: readonly SnapshotReport[], { paint }: Paint): string {
  if (snapshots.length === 0) return 'no snapshots yet: "rackboot volume snapshot" takes one\n';
  const header = ["SNAPSHOT", "TAKEN", "SIZE", "ALONE", "CLONES"].map((cell) => paint("dim", cell));
  const rows = snapshots.map((snapshot) => [
    snapshot.automatic ? paint("dim", snapshot.name) : snapshot.name,
    clock(snapshot.createdMs),
    amount(snapshot.sizeBytes),
    snapshot.aloneBytes === undefined ? "-" : amount(snapshot.aloneBytes),
    clonesCell(snapshot.clones),
  ]);
  return table([header, ...rows]);
}

const CLONES_SHOWN = 4;

function clonesCell(clones: readonly string[]): string {
  if (clones.length === 0) return "-";
  const more = clones.length - CLONES_SHOWN;
  return more > 0 ? `${clones.slice(0, CLONES_SHOWN).join(" ")} and ${more} more` : clones.join(" ");
}

export function volumeText(volume: VolumeReport, output: Paint): string {
  const { settings } = volume;
  const flags = [
    ...(settings.readOnly ? ["read-only"] : []),
    ...(settings.shared ? ["shared"] : []),
    settings.thin ? "thin" : "not thin",
    settings.writeCache ? "write cache" : "no write cache",
    `blocks of ${settings.blockSize}`,
  ];
  const rows = [
    ["size", amount(volume.sizeBytes)],
    ["used", `${amount(volume.usedBytes)}${volume.sharedBytes === undefined ? "" : `, of which ${amount(volume.sharedBytes)} shared`}`],
    ...(volume.extents === undefined ? [] : [["extents", String(volume.extents)]]),
    ["made", clock(volume.createdMs)],
    ...(volume.origin === undefined ? [] : [["origin", volume.origin]]),
    ...(volume.file === undefined ? [] : [["blocks in", volume.file]]),
    ["settings", `${flags.join(", ")} (${volume.configured ? "from the configuration" : "kept with the volume"})`],
    ["disk of", volume.machines.join(" ") || "no machine"],
    ["served", volume.open ? output.paint("green", "yes") : "no"],
    ["uuid", volume.uuid],
  ];
  return `${output.paint("bold", volume.name)}\n${table(rows)}\n${snapshotTable(volume.snapshots, output)}`;
}

/** What a new or changed volume is now. */
export function changedText(report: VolumeReport, done: string): string {
  return `${report.name} ${done}, ${amount(report.sizeBytes)}\n`;
}
