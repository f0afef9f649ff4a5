import { readFileSync } from "node:fs";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { AUTOBOOT_BYTES, bootPartition, decodeAutoboot, encodeAutoboot, runningSlot } from "../../../board/update/autoboot.ts";
import { parseLayout } from "../../../board/update/layout.ts";
import { NEW_CARD, SLOT_STATES, type Slots, tryTarget } from "../../../board/update/slots.ts";
import { PARTITIONS } from "./machine.ts";

/** All that the machine can be in; the primary slot is always good. */
const ALL: readonly Slots[] = SLOT_STATES.flatMap((state) => [
  { primary: "a", states: { a: "good", b: state } },
  { primary: "b", states: { a: state, b: "good" } },
]);

describe("autoboot.txt", () => {
  it("is what a Pi's boot loader reads on a new card", () => {
    expect(encodeAutoboot(NEW_CARD, PARTITIONS).split("\n").slice(0, 7)).toEqual([
      "[all]",
      "tryboot_a_b=1",
      "boot_partition=2",
      "[tryboot]",
      "boot_partition=2",
      "# rackboot keeps this file. By hand: the first number is what starts.",
      "# slots a=good b=empty",
    ]);
  });

  it("always fills the same part of one sector, so that it is written over in place", () => {
    for (const slots of ALL) expect(Buffer.byteLength(encodeAutoboot(slots, PARTITIONS))).toBe(AUTOBOOT_BYTES);
  });

  it("keeps all that is known of both slots", () => {
    for (const slots of ALL) expect(decodeAutoboot(encodeAutoboot(slots, PARTITIONS), PARTITIONS)).toEqual({ ok: true, slots });
  });

  it("never has a slot tried that is not whole", () => {
    for (const slots of ALL) {
      const text = encodeAutoboot(slots, PARTITIONS);
      expect(bootPartition(text)).toBe(PARTITIONS[slots.primary]);
      expect(bootPartition(text, true)).toBe(PARTITIONS[tryTarget(slots)]);
    }
  });

  it("follows a person who swapped the numbers on a laptop that ends lines its own way", () => {
    const text = encodeAutoboot({ primary: "a", states: { a: "good", b: "failed" } }, PARTITIONS)
      .replace("boot_partition=2", "boot_partition=3")
      .replaceAll("\n", "\r\n");
    expect(decodeAutoboot(text, PARTITIONS)).toEqual({ ok: true, slots: { primary: "b", states: { a: "good", b: "good" } } });
  });

  it("that holds nothing known is told, and never an exception", () => {
    expect(decodeAutoboot("", PARTITIONS)).toEqual({ ok: false, reason: "it names no boot_partition" });
    expect(decodeAutoboot("boot_partition=7\n", PARTITIONS)).toEqual({ ok: false, reason: "boot_partition=7 is none of its slots" });
    expect(decodeAutoboot("[none]\nboot_partition=2\n", PARTITIONS).ok).toBe(false);
    fc.assert(fc.property(fc.string(), (text) => void decodeAutoboot(text, PARTITIONS)));
    const whole = encodeAutoboot(NEW_CARD, PARTITIONS);
    for (let length = 0; length < whole.length; length++) decodeAutoboot(whole.slice(0, length), PARTITIONS);
  });
});

describe("the card's layout", () => {
  it("is the one that the image is made with", () => {
    const layout = parseLayout(readFileSync(new URL("../../../firmware/layout.env", import.meta.url), "utf8"));
    expect(layout).toEqual({
      bootPartitions: { a: 2, b: 3 },
      bootConfigFolder: "/boot-config",
      stateFolder: "/state",
      dataFolder: "/data",
      dataLabel: "RACKBOOT",
    });
    expect(() => parseLayout("")).toThrow("says nothing of");
  });

  it("names the slot that runs on the kernel's command line", () => {
    expect(runningSlot("root=PARTUUID=7261636b-06 rauc.slot=b ro\n")).toBe("b");
    expect(runningSlot("rauc.slot=a")).toBe("a");
    expect(runningSlot("root=/dev/vda1 rauc.slot=ab")).toBeUndefined();
  });
});
