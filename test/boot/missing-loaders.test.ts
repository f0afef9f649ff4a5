import { expect, test } from "vitest";
import { findLoaders, loaderWords } from "../../src/boot/loaders.ts";
import { MissingLoaders } from "../../src/boot/missing-loaders.ts";
import type { FirmwareKind } from "../../src/machine/firmware.ts";
import type { Machine } from "../../src/machine/machine.ts";
import type { StateEvent } from "../../src/state/events.ts";
import { machine } from "./support.ts";

/** As on a Debian machine for x86-64 with shim-signed and grub-efi-amd64-signed, and without ipxe. */
const SHIM_ONLY = findLoaders((path) => /shimx64|grubnetx64/.test(path));

function toldOf(boots: readonly (readonly [FirmwareKind, number])[], of: Machine = machine()): readonly StateEvent[] {
  const events: StateEvent[] = [];
  const missing = new MissingLoaders(SHIM_ONLY, (event) => events.push(event));
  for (const [firmware, boot] of boots) missing.began(of, boot, firmware);
  return events;
}

test("a machine that is offered no boot loader is told of, once a boot", () => {
  const event = { type: "boot.noLoader", machine: "uqbar", boot: 1, firmware: "bios-pxe" };
  expect(
    toldOf([
      ["bios-pxe", 1],
      ["bios-pxe", 1],
      ["bios-pxe", 2],
    ]),
  ).toEqual([event, { ...event, boot: 2 }]);
});

test("nothing is told of a machine that finds one, is one, or is to be offered none", () => {
  expect(toldOf([["uefi-x64-pxe", 1]])).toEqual([]);
  expect(toldOf([["ipxe-bios", 1]])).toEqual([]);
  expect(toldOf([["bios-pxe", 1]], machine("uqbar", { boot: { kind: "local" } }))).toEqual([]);
  // Its disk may bring one.
  expect(toldOf([["uefi-arm64-pxe", 1]], machine("uqbar", { boot: { kind: "disk", via: "loader" } }))).toEqual([]);
});

test("people read for which machines there are loaders here", () => {
  expect(loaderWords(findLoaders(() => true))).toBe("for BIOS, UEFI on x86-64, UEFI on arm64");
  expect(loaderWords(SHIM_ONLY)).toBe("for UEFI on x86-64; none for BIOS, UEFI on arm64");
  expect(loaderWords(findLoaders(() => false))).toBe("none for BIOS, UEFI on x86-64, UEFI on arm64");
});
