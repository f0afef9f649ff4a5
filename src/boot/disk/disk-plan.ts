import type { BootEntry, BootPlan, FileOrigin, LoaderChain } from "../plan.ts";
import { nothing, UKI_NAME } from "../plan.ts";
import type { DiskEntry, DiskFile, DiskFindings } from "./disk-boot.ts";
import type { Settled } from "./memory.ts";
import { compareVersions } from "./rpm-version.ts";

/** How a file inside the disk is read for a transfer. */
export type OriginOf = (file: DiskFile) => FileOrigin;

/** What a machine is handed so that it boots what its disk would boot. */
export function diskPlan(
  findings: DiskFindings,
  settled: Settled | undefined,
  originOf: OriginOf,
  chains: readonly LoaderChain[] = [],
): BootPlan {
  const [first, ...others] = findings.entries.map((entry, index) => bootEntry(entry, index, originOf));
  if (settled !== undefined && first !== undefined) {
    const entries = [first, ...others].map((entry, index) => (index === settled.index ? titled(entry, settled) : entry));
    return {
      kind: "kernel",
      entries: [entries[0] ?? first, ...entries.slice(1)],
      defaultIndex: settled.index,
      notes: notesOf(settled),
      chains,
    };
  }
  const [image] = [...findings.unifiedKernels].sort((left, right) => compareVersions(right.path, left.path));
  if (image !== undefined) return { kind: "uki", file: { name: UKI_NAME, origin: originOf(image) } };
  return nothing("nothing on the first disk can be booted:", findings.notes);
}

function bootEntry(entry: DiskEntry, index: number, originOf: OriginOf): BootEntry {
  const named = (name: string, file: DiskFile): BootEntry["kernel"] => ({ name: `entry/${index}/${name}`, origin: originOf(file) });
  return {
    title: entry.title,
    kernel: named("vmlinuz", entry.kernel),
    initrds: entry.initrds.map((file, at) => named(`initrd-${at}`, file)),
    arguments: withoutFirmwareTable(entry.arguments),
    ...(entry.devicetree === undefined ? {} : { devicetree: named("devicetree", entry.devicetree) }),
  };
}

/**
 * A system that was installed from firmware with iSCSI of its own asks for that firmware's table (iBFT). There is none when
 * its kernel is loaded from here, so what the table would have said is said on the kernel line instead.
 */
function withoutFirmwareTable(line: string): string {
  return line.replaceAll(/(^|\s)(?:(?:rd\.)?iscsi[._](?:firmware|ibft)(?:=1)?|ip=ibft)(?=\s|$)/g, "$1").trim();
}

function titled(entry: BootEntry, { because, failed }: Settled): BootEntry {
  if (because === "fell-back") return { ...entry, title: `${entry.title} (came up last; "${failed?.title ?? ""}" does not)` };
  if (because === "next-entry") return { ...entry, title: `${entry.title} (this time only)` };
  return entry;
}

function notesOf({ note }: Settled): readonly string[] {
  return note === undefined ? [] : [note];
}
