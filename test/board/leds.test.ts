import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { loadBoard } from "../../board/board.ts";
import { gpioNumber } from "../../board/gpio.ts";
import { Lamps } from "../../board/lamps.ts";
import type { Lamp } from "../../board/led-policy.ts";
import { Leds, type LedsOptions } from "../../board/leds.ts";
import type { StateEvent } from "../../src/state/events.ts";
import { Faults } from "../../src/state/faults.ts";
import { Store } from "../../src/state/store.ts";

let folder: string;
let events: StateEvent[];
const lines = new Map<number, boolean>();
let busy: Set<number>;

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "rackboot-leds-"));
  events = [];
  lines.clear();
  busy = new Set();
});
afterEach(() => rmSync(folder, { recursive: true }));

function file(path: string, text: string): void {
  mkdirSync(join(folder, path, ".."), { recursive: true });
  writeFileSync(join(folder, path), `${text}\n`);
}

function chip(name: string, label: string, base: number, lineCount: number): void {
  file(`gpio/${name}/label`, label);
  file(`gpio/${name}/base`, String(base));
  file(`gpio/${name}/ngpio`, String(lineCount));
}

function ownLight(name: string): void {
  file(`leds/${name}/trigger`, "[mmc0] none");
  file(`leds/${name}/brightness`, "1");
  file(`leds/${name}/max_brightness`, "255");
}

const read = (path: string): string => readFileSync(join(folder, path), "utf8").trim();

function options(): LedsOptions {
  return {
    emit: (event) => events.push(event),
    gpioFolder: join(folder, "gpio"),
    ledsFolder: join(folder, "leds"),
    openLine: (number) => {
      if (busy.has(number)) throw new Error("EBUSY: resource busy or locked");
      return { write: (on) => void lines.set(number, on), close: () => undefined };
    },
  };
}

describe("the lamps of a Pi", () => {
  it("are found by the chip's label, whatever numbers this kernel gave its lines", () => {
    chip("gpiochip512", "brcmvirt-gpio", 512, 2);
    chip("gpiochip569", "pinctrl-rp1", 569, 54);
    expect(gpioNumber({ chip: "pinctrl-rp1", line: 17 }, join(folder, "gpio"))).toBe(586);
    expect(() => gpioNumber({ chip: "pinctrl-rp1", line: 54 }, join(folder, "gpio"))).toThrow("54 lines");
    expect(() => gpioNumber({ chip: "pinctrl-bcm2711", line: 1 }, join(folder, "gpio"))).toThrow("(there are: brcmvirt-gpio, pinctrl-rp1)");
    expect(() => gpioNumber({ chip: "pinctrl-rp1", line: 1 }, join(folder, "none"))).toThrow("CONFIG_GPIO_SYSFS");
  });

  it("work without the one whose line somebody else has, which is told once", async () => {
    chip("gpiochip512", "pinctrl-bcm2711", 512, 58);
    ownLight("ACT");
    ownLight("PWR");
    busy.add(512 + 27);
    const leds = await Leds.open(loadBoard("rpi4"), options());
    for (const lamp of ["ready", "rack", "disk", "fault"] as const) leds.write(lamp, true);
    expect([...lines]).toEqual([
      [529, true],
      [534, true],
      [535, true],
    ]);
    expect(events).toEqual([
      { type: "panel.missing", part: "the lamp rack (pinctrl-bcm2711 line 27, pin 13)", reason: "EBUSY: resource busy or locked" },
    ]);
  });

  it("are a bare board's own lights as well, under the names of new kernels and old ones", async () => {
    ownLight("ACT");
    ownLight("led1");
    const leds = await Leds.open(loadBoard("rpi5"), options());
    leds.write("ready", true);
    leds.write("fault", false);
    expect([read("leds/ACT/trigger"), read("leds/ACT/brightness"), read("leds/led1/brightness")]).toEqual(["none", "255", "0"]);
    // No GPIO in this kernel: four lamps are told, and nothing else is lost.
    expect(events.map(({ type }) => type)).toEqual(Array(4).fill("panel.missing"));
    leds.close();
    expect(read("leds/ACT/brightness")).toBe("0");
  });

  it("that break while they run are told once and left alone", async () => {
    ownLight("ACT");
    const leds = await Leds.open({ ...loadBoard("rpi4"), lamps: {}, leds: { ready: ["ACT"] } }, options());
    rmSync(join(folder, "leds"), { recursive: true });
    for (let time = 0; time < 3; time++) leds.write("ready", true);
    expect(events).toEqual([{ type: "panel.missing", part: "the light ACT for ready", reason: expect.stringContaining("ENOENT") }]);
  });
});

describe("what the lamps play", () => {
  it("beats on while the time of day jumps, follows faults, and shows a disk's work for as long as eyes need", () => {
    let nowMs = 0;
    let wallMs = 0;
    let operations = 0;
    const lit = new Map<Lamp, boolean>();
    const store = new Store({ now: () => wallMs });
    const faults = new Faults(store.emit);
    const write = (lamp: Lamp, on: boolean): void => void lit.set(lamp, on);
    const lamps = new Lamps({
      state: () => store.snapshot(),
      ioOperations: () => operations,
      write,
      now: () => wallMs,
      nowMs: () => nowMs,
    });
    const play = (lamp: Lamp, forMs: number): string => {
      let drawn = "";
      for (let ms = 0; ms < forMs; ms += 50) {
        lamps.tick();
        drawn += lit.get(lamp) === true ? "#" : ".";
        nowMs += 50;
      }
      return drawn;
    };
    store.emit({ type: "pool.measured", path: "/data", fileSystem: "xfs", reflink: true, sizeBytes: 2, freeBytes: 1 });
    store.emit({ type: "daemon.ready" });
    expect(play("ready", 600)).toBe("##...##.....");
    wallMs = Date.UTC(2040, 0);
    expect(play("ready", 600)).toBe("............");
    wallMs = 0;
    expect(play("ready", 600)).toBe("##...##.....");
    expect(play("disk", 300)).toBe("######");
    operations++;
    expect(play("disk", 600)).toBe("#.##.#..####");
    faults.raise("no-link", "eth0", { reason: "no cable" });
    expect(play("fault", 3000)).toBe(`${"#####.....".repeat(2)}#####${".".repeat(30)}#####`);
    faults.clear("no-link", "eth0");
    expect(play("fault", 200)).toBe("....");
  });
});
