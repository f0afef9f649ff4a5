import type { Config } from "./config.ts";
import { closest, formatPath, type KeyPath } from "./config-problems.ts";
import { formatDuration } from "./config-values.ts";

/** Something that is allowed, and that its author may want to know. */
export interface NoticeAt {
  readonly path: KeyPath;
  readonly message: string;
}

interface Unused {
  /** `*` stands for any key or index. */
  readonly path: KeyPath;
  /** Values that ask for what is not there; absent: every value does. */
  readonly when?: readonly unknown[];
}

/** Keys that are read and checked, and that nothing acts upon yet. */
const NOT_YET_USED: readonly Unused[] = [];

/** Machines lose their root when a lease runs out that nobody renews, so shorter ones deserve a word. */
const SHORT_LEASE_MS = 6 * 3_600_000;

/** `content` is the file as plain data, `config` what was made of it. */
export function noticesOf(content: unknown, config: Config): readonly NoticeAt[] {
  const notices: NoticeAt[] = [];
  for (const { path, when } of NOT_YET_USED) {
    for (const found of expand(content, path)) {
      if (found.value === null || (when !== undefined && !when.includes(found.value))) continue;
      const what = when === undefined ? formatPath(found.path) : `${formatPath(found.path)}: ${String(found.value)}`;
      notices.push({ path: found.path, message: `${what} is accepted but not yet used` });
    }
  }
  const { dhcp, machines } = config;
  const serves = dhcp.mode === "server";
  if (serves && dhcp.unknown === "lease" && dhcp.range === undefined) {
    notices.push({ path: ["dhcp", "unknown"], message: "dhcp.unknown: lease has no addresses to give without dhcp.range" });
  }
  if (serves && dhcp.range !== undefined && dhcp.leaseMs < SHORT_LEASE_MS) {
    const message = `a lease of ${formatDuration(dhcp.leaseMs)} is short: a machine whose root is on another server loses it if nobody renews; those with disks here get theirs for ever`;
    notices.push({ path: ["dhcp", "lease"], message });
  }
  for (const machine of machines) {
    const path = ["machines", machine.name];
    if (serves && machine.address === undefined && dhcp.range === undefined) {
      notices.push({ path, message: `machine ${machine.name} gets no address: it has no reservation, and there is no dhcp.range` });
    }
    for (const [lun, disk] of machine.disks.entries()) {
      if (config.volumes.has(disk)) continue;
      const likely = closest(disk, config.volumes.keys());
      const hint = likely === undefined ? "" : ` (did you mean ${likely}?)`;
      const message = `no volume is called ${disk} here${hint}; the store must have it, from "rackboot volume create" or "clone"`;
      notices.push({ path: [...path, "disks", lun], message });
    }
    const { boot } = machine;
    if (boot.kind === "kernel" && !/(^|\s)root=/.test(`${boot.arguments} ${machine.arguments}`)) {
      const message = `the kernel arguments of machine ${machine.name} have no root=: its initramfs must know its root by itself`;
      notices.push({ path: [...path, "boot"], message });
    }
  }
  return notices;
}

function expand(content: unknown, pattern: KeyPath, path: KeyPath = []): readonly { readonly path: KeyPath; readonly value: unknown }[] {
  const [part, ...rest] = pattern;
  if (part === undefined) return [{ path, value: content }];
  if (typeof content !== "object" || content === null) return [];
  const keys = part === "*" ? Object.keys(content) : Object.hasOwn(content, part) ? [part] : [];
  return keys.flatMap((key) => {
    return expand((content as Record<string, unknown>)[key], rest, [...path, Array.isArray(content) ? Number(key) : key]);
  });
}
