import { bootWords } from "../machine/boot-words.ts";
import type { Config } from "../machine/config.ts";
import { type ConfigReading, formatNotice, formatProblem } from "../machine/config-file.ts";
import { formatDuration, formatSize } from "../machine/config-values.ts";
import type { Machine } from "../machine/machine.ts";
import { type Output, table } from "./output.ts";

type Refused = Extract<ConfigReading, { ok: false }>;
type Accepted = Extract<ConfigReading, { ok: true }>;

/** What is wrong with a file, a line each: where, what was found, what is allowed. */
export function explainProblems(reading: Refused, paint: Output["paint"]): string {
  const count = reading.problems.length;
  const lines = reading.problems.map((problem) => `${formatProblem(problem)}\n`);
  return `${lines.join("")}${paint("red", `${reading.file} cannot be used: ${count === 1 ? "one problem" : `${count} problems`}.`)}\n`;
}

export function explainNotices(reading: Accepted, paint: Output["paint"]): string {
  return reading.notices.map((notice) => `${paint("yellow", "note:")} ${formatNotice(notice)}\n`).join("");
}

/** What a good file says, as the daemon understands it. */
export function summary({ file, config }: Accepted, paint: Output["paint"]): string {
  const { network, dhcp, tftp, http, iscsi } = config;
  const range = dhcp.range === undefined ? "reservations only" : `${dhcp.range.first} to ${dhcp.range.last}`;
  const https = http.https === undefined ? "" : `, https on port ${http.https.port}`;
  const rows = [
    ["network", `${network.interface}, ${network.address}/${network.prefixLength}`],
    ["dhcp", dhcp.mode === "server" ? `${range}, lease ${formatDuration(dhcp.leaseMs)}, unknown machines: ${dhcp.unknown}` : dhcp.mode],
    ["tftp", `port ${tftp.port}${tftp.root === undefined ? "" : `, extra files of ${tftp.root}`}`],
    ["http", `port ${http.port}${https}`],
    ["iscsi", iscsi.portals.map((portal) => `${portal}:${iscsi.port}`).join(", ")],
    ["storage", config.storage.path],
  ];
  const machines = config.machines.map((machine) => [
    machine.name,
    machine.macs.join(" "),
    machine.address ?? "dynamic",
    bootWords(machine.boot),
    machine.disks.map((name) => describeDisk(config, name)).join(", ") || "no disks",
  ]);
  const header = ["MACHINE", "MAC", "ADDRESS", "BOOT", "DISKS"].map((cell) => paint("dim", cell));
  const list = machines.length === 0 ? "\n  no machines yet\n" : `\n${table([header, ...machines])}`;
  return `${paint("green", `${file} is good.`)}\n\n${table(rows)}${list}`;
}

function describeDisk(config: Config, name: Machine["disks"][number]): string {
  const source = config.volumes.get(name)?.source;
  switch (source?.kind) {
    case "sparse":
      return `${name} (${formatSize(source.sizeBytes)})`;
    case "clone":
      return `${name} (clone of ${source.origin})`;
    case "file":
      return `${name} (${source.path})`;
    case undefined:
      return name;
  }
}
