import { readFileSync, rmSync, symlinkSync, truncateSync, writeFileSync } from "node:fs";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { NEW_CARD } from "../../../board/update/slots.ts";
import { Updater } from "../../../board/update/updater.ts";
import type { UpdateProgress } from "../../../src/control/update-operations.ts";
import { Faults } from "../../../src/state/faults.ts";
import { Store } from "../../../src/state/store.ts";
import { RaucRig } from "./rig.ts";

let rig: RaucRig;
const store = new Store({ onListenerError: (error) => expect(error).toBeUndefined() });
const faults = new Faults(store.emit);
const reboots: boolean[] = [];

beforeAll(async () => {
  rig = new RaucRig();
  await rig.start("a");
  await rig.card("a").write(NEW_CARD);
});
afterAll(() => rig.remove());

function updater(running: "a" | "b", version: string): Updater {
  return new Updater({
    card: rig.card(running),
    version,
    statusFile: rig.statusFile,
    reboot: async (tryOther) => void reboots.push(tryOther),
    faults,
    store,
    rauc: { arguments: ["--conf", rig.configuration] },
    steadyMs: 0,
  });
}

const fault = (): unknown => store.snapshot().faults["update-failed"];

describe("an update with the real RAUC", () => {
  it("that somebody else signed is refused in one sentence, and the card stays as it was", async () => {
    const before = readFileSync(rig.path("autoboot.txt"), "utf8");
    const foreign = rig.bundle("foreign", "6.6.6", { key: rig.key("theirs") });
    await expect(updater("a", "1").install(foreign)).rejects.toThrow(
      /is not installed: its signature is not one that this card trusts \(.+\); take/,
    );
    expect(readFileSync(rig.path("autoboot.txt"), "utf8")).toBe(before);
    expect(rig.holds("b", foreign)).toBe(false);
    const untrusted = expect.stringContaining("its signature is not one that this card trusts");
    expect(fault()).toMatchObject({ reason: untrusted, next: expect.stringContaining("rackboot update confirm") });
    await updater("a", "1").confirm();
    expect(fault()).toBeUndefined();
  });

  it("for another board is refused by its name", async () => {
    const bundle = rig.bundle("other-board", "2", { board: "rpi5" });
    await expect(updater("a", "1").install(bundle)).rejects.toThrow(
      "it is made for rackboot-rpi5, and this board is rackboot-rpi4; take the bundle of this board",
    );
  });

  it("that was cut off on its way, is no bundle or is not there is refused", async () => {
    const half = rig.bundle("half", "2");
    truncateSync(half, 2 << 20);
    await expect(updater("a", "1").install(half)).rejects.toThrow("not all of it has arrived");
    writeFileSync(rig.path("letter.raucb"), "dear sir");
    await expect(updater("a", "1").install(rig.path("letter.raucb"))).rejects.toThrow("it is no update bundle");
    await expect(updater("a", "1").install(rig.path("nothing.raucb"))).rejects.toThrow(/nothing\.raucb is not installed: .*No such file/);
  });

  it("is written to the idle slot with progress, tried, kept once it is READY, and left again on request", async () => {
    const bundle = rig.bundle("good", "2");
    const seen: UpdateProgress[] = [];
    const status = await updater("a", "1").install(bundle, { restart: true, onProgress: (progress) => seen.push(progress) });
    expect(status.slots).toEqual([
      { name: "a", running: true, primary: true, state: "good", version: "1" },
      { name: "b", running: false, primary: false, state: "trying", version: "2" },
    ]);
    expect(reboots).toEqual([true]);
    expect(rig.holds("b", bundle)).toBe(true);
    expect(seen.at(-1)?.percent).toBe(100);
    expect(seen.map(({ percent }) => percent)).toEqual([...seen.map(({ percent }) => percent)].sort((one, other) => one - other));

    // The boot loader took slot b.
    await rig.start("b");
    const second = updater("b", "2");
    const end = await second.start();
    expect((await second.status()).confirmed).toBe(false);
    await expect(second.install(bundle)).rejects.toThrow("wait until it is confirmed");
    store.emit({ type: "daemon.ready" });
    await expect.poll(async () => (await second.status()).confirmed).toBe(true);
    end();
    expect((await second.rollback()).slots[0]).toEqual({ name: "a", running: false, primary: false, state: "trying" });
    expect(reboots).toEqual([true, true]);
  });

  it("that did not come up is fault 7 until another one is on the card", async () => {
    await rig.card("a").write({ primary: "a", states: { a: "good", b: "trying" } });
    await rig.start("a");
    const back = updater("a", "1");
    await back.start();
    expect((await back.status()).slots[1]).toMatchObject({ state: "failed", version: "2" });
    expect(fault()).toMatchObject({ reason: expect.stringContaining("did not become READY") });
    await expect(back.restart()).rejects.toThrow("install an update first");
    await expect(back.rollback()).rejects.toThrow("there is no system before this one");
    await back.install(rig.bundle("better", "3"));
    expect(fault()).toBeUndefined();
    expect((await back.status()).slots[1]).toMatchObject({ state: "installed", version: "3" });
  });

  it("that the card has no room for leaves the slot unfinished, and says so until a person has read it", async () => {
    rmSync(rig.path("root-b"));
    symlinkSync("/dev/full", rig.path("root-b"));
    const back = updater("a", "1");
    await expect(back.install(rig.bundle("large", "4"))).rejects.toThrow("it does not fit the slots of this card");
    expect((await back.status()).slots[1]?.state).toBe("writing");
    expect(fault()).toMatchObject({ reason: expect.stringContaining("cut off") });
    await back.confirm();
    expect(fault()).toBeUndefined();
    expect((await back.status()).slots[1]?.state).toBe("empty");
  });
});
