import { readFileSync } from "node:fs";
import { cpus, release, totalmem } from "node:os";

/** The machine that figures come from; without it they say nothing. */
export interface Host {
  readonly cpu: string;
  readonly cores: number;
  readonly memoryBytes: number;
  readonly kernel: string;
  readonly architecture: string;
}

/** arm64 kernels name no model in /proc/cpuinfo; the device tree names the board. */
function boardModel(): string {
  try {
    return readFileSync("/proc/device-tree/model", "utf8").replaceAll("\0", "");
  } catch {
    return "unknown processor";
  }
}

export function describeHost(): Host {
  const processors = cpus();
  const model = processors[0]?.model ?? "";
  return {
    cpu: model === "" || model === "unknown" ? boardModel() : model.trim(),
    cores: processors.length,
    memoryBytes: totalmem(),
    // What a distributor appends says nothing to others.
    kernel: release().split("-")[0] ?? "unknown",
    architecture: process.arch,
  };
}

/** A folder's name for results of this machine: no date, so that a new run replaces the old one and git shows what changed. */
export function hostName(host: Host): string {
  const words = host.cpu.replaceAll(/\((r|tm)\)/gi, "").toLowerCase();
  return `${words} ${host.cores} cores`.replaceAll(/[^a-z0-9]+/g, "-").replaceAll(/^-|-$/g, "");
}

export function hostLine(host: Host): string {
  return `${host.cpu}, ${host.cores} cores, ${Math.round(host.memoryBytes / 1024 ** 3)} GiB, Linux ${host.kernel} ${host.architecture}`;
}
