import type { BootSource } from "./machine.ts";

/** What a machine is configured to boot, in a few words for people. */
export function bootWords(boot: BootSource): string {
  switch (boot.kind) {
    case "disk":
      return boot.via === "sanboot" ? "disk via sanboot" : "disk";
    case "local":
      return "local";
    case "kernel":
      return `kernel ${boot.kernel}`;
    case "install":
    case "rescue":
      return `${boot.kind} ${boot.image}`;
    case "uki":
      return `uki ${boot.file}`;
  }
}
