import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { type BootSignal, type BootStage, Boots, KNOCK_MS, UP_AFTER_MS } from "../../src/machine/boots.ts";
import type { FirmwareKind } from "../../src/machine/firmware.ts";
import type { MachineName } from "../../src/machine/identifiers.ts";

const uqbar = "uqbar" as MachineName;

/** Boots of one machine, with a clock that only {@link Rig.wait} moves. */
class Rig {
  readonly told: string[] = [];
  readonly boots: Boots;
  #nowMs = 0;
  #timers: { readonly atMs: number; readonly done: () => void }[] = [];

  constructor(loaderBegins = false, firstNumber = 1) {
    this.boots = new Boots({
      loaderBegins,
      firstNumber,
      onBegan: (_, boot, firmware) => this.told.push(`began ${boot}${firmware === undefined ? "" : ` ${firmware}`}`),
      onConfirmed: (_, boot) => this.told.push(`confirmed ${boot}`),
      nowMs: () => this.#nowMs,
      onReached: (_, boot, stage) => this.told.push(`${boot}: ${stage}`),
      onAbandoned: (_, boot, stage, reason) => this.told.push(`abandoned ${boot} at ${stage}: ${reason}`),
      after: (ms, done) => {
        const timer = { atMs: this.#nowMs + ms, done };
        this.#timers.push(timer);
        return () => {
          this.#timers = this.#timers.filter((other) => other !== timer);
        };
      },
    });
  }

  get timers(): number {
    return this.#timers.length;
  }

  signal(...signals: readonly BootSignal[]): readonly string[] {
    this.told.length = 0;
    for (const signal of signals) this.boots.signal(uqbar, signal);
    return [...this.told];
  }

  wait(ms: number): readonly string[] {
    this.told.length = 0;
    this.#nowMs += ms;
    const due = this.#timers.filter((timer) => timer.atMs <= this.#nowMs);
    this.#timers = this.#timers.filter((timer) => timer.atMs > this.#nowMs);
    for (const timer of due) timer.done();
    return [...this.told];
  }
}

const firmware = (kind: FirmwareKind = "uefi-x64-pxe"): BootSignal => ({ kind: "firmware", firmware: kind });
const reached = (stage: Extract<BootSignal, { kind: "reached" }>["stage"]): BootSignal => ({ kind: "reached", stage });
const login = (session: number, reinstated = false): BootSignal => ({ kind: "login", session, reinstated });
const read = (session: number): BootSignal => ({ kind: "first-read", session });
const closed = (session: number): BootSignal => ({ kind: "closed", session });
const loaderAsked: BootSignal = { kind: "asked", role: "loader" };
const scriptAsked: BootSignal = { kind: "asked", role: "config" };
const toTheDisk = [
  firmware(),
  reached("offer"),
  loaderAsked,
  reached("loader"),
  reached("config"),
  reached("kernel"),
  reached("initramfs"),
  login(1),
  read(1),
];

describe("a boot", () => {
  it("has every stage once, in the order of a healthy machine", () => {
    const rig = new Rig();
    expect(rig.signal(...toTheDisk)).toEqual([
      "began 1 uefi-x64-pxe",
      "1: discover",
      "1: offer",
      "confirmed 1",
      "1: loader",
      "1: config",
      "1: kernel",
      "1: initramfs",
      "1: login",
      "1: first-read",
    ]);
    expect(rig.signal(...toTheDisk.slice(1))).toEqual([]);
  });

  it("goes on when the PXE ROM has loaded iPXE, which asks again", () => {
    const rig = new Rig();
    rig.signal(firmware("bios-pxe"), reached("offer"), reached("loader"));
    expect(rig.signal(firmware("ipxe-bios"), reached("offer"))).toEqual([]);
    expect(rig.boots.current(uqbar)?.firmware).toBe("ipxe-bios");
  });

  it("is up when open-iscsi of the real root takes the session over", () => {
    const rig = new Rig();
    rig.signal(...toTheDisk);
    expect(rig.signal(closed(1))).toEqual([]);
    expect(rig.timers).toBe(0);
    expect(rig.signal(login(2, true))).toEqual(["1: up"]);
    expect(rig.timers).toBe(0);
  });

  it("is up when the session that has read lives on, as with an initramfs that never lets go", () => {
    const rig = new Rig();
    rig.signal(...toTheDisk);
    expect(rig.wait(UP_AFTER_MS - 1)).toEqual([]);
    expect(rig.wait(1)).toEqual(["1: up"]);
    expect(rig.timers).toBe(0);
  });

  it("is not up for a session that was reinstated before anything was read", () => {
    const rig = new Rig();
    rig.signal(firmware(), login(1));
    expect(rig.signal(login(2, true))).toEqual([]);
    expect(rig.wait(UP_AFTER_MS)).toEqual([]);
  });

  it("is not up for a session that ended", () => {
    const rig = new Rig();
    rig.signal(...toTheDisk, closed(1));
    expect(rig.wait(UP_AFTER_MS * 10)).toEqual([]);
  });

  it("is watched by the session of dracut, after the one of iPXE", () => {
    const rig = new Rig();
    rig.signal(firmware("ipxe-bios"), login(1), read(1));
    rig.wait(UP_AFTER_MS / 2);
    rig.signal(login(2), read(2));
    expect(rig.wait(UP_AFTER_MS / 2)).toEqual([]);
    expect(rig.wait(UP_AFTER_MS / 2)).toEqual(["1: up"]);
  });

  it("fetches its kernel after iPXE has hooked the disk", () => {
    const rig = new Rig();
    rig.signal(firmware("ipxe-bios"), login(1));
    expect(rig.signal(reached("kernel"))).toEqual(["1: kernel"]);
  });
});

describe("the next boot", () => {
  it("begins when firmware asks after a kernel was loaded that never reached its disk", () => {
    const rig = new Rig();
    rig.signal(firmware(), reached("loader"), reached("config"), reached("kernel"), reached("initramfs"));
    expect(rig.signal(firmware())).toEqual([
      "abandoned 1 at initramfs: its firmware asked again before it was up",
      "began 2 uefi-x64-pxe",
      "2: discover",
    ]);
  });

  it("begins when firmware asks after the disk was reached, and the one before is given up if it was not up", () => {
    const rig = new Rig();
    rig.signal(...toTheDisk);
    expect(rig.signal(firmware(), loaderAsked)).toEqual([
      "abandoned 1 at first-read: its firmware asked again before it was up",
      "began 2 uefi-x64-pxe",
      "2: discover",
      "confirmed 2",
    ]);
    expect(rig.timers).toBe(0);
  });

  it("begins after a power cut of a machine that was up, which is no failed boot", () => {
    const rig = new Rig();
    rig.signal(...toTheDisk, login(2, true));
    expect(rig.signal(firmware())).toEqual([]);
    expect(rig.signal(scriptAsked)).toEqual(["began 2 uefi-x64-pxe", "2: discover", "confirmed 2"]);
  });

  it("begins with one question where no session lives, and takes nothing from the machine before the second", () => {
    const rig = new Rig();
    rig.signal(...toTheDisk, login(2, true), closed(2));
    expect(rig.signal(firmware())).toEqual(["began 2 uefi-x64-pxe", "2: discover"]);
    expect(rig.boots.current(uqbar)?.confirmed).toBe(false);
    expect(rig.signal(loaderAsked, loaderAsked, scriptAsked)).toEqual(["confirmed 2"]);
  });

  it("does not take the old session's end, or its reads, for its own", () => {
    const rig = new Rig();
    rig.signal(...toTheDisk, login(2, true), firmware(), loaderAsked);
    expect(rig.signal(read(2), closed(2), read(1), closed(1))).toEqual([]);
    expect(rig.signal(login(3))).toEqual(["2: login"]);
  });
});

describe("a machine that is up", () => {
  const up = [...toTheDisk, login(2, true)];

  it("is not rebooted by a timer, by its own downloads, or by logging in again", () => {
    const rig = new Rig();
    rig.signal(...up);
    expect(
      rig.signal(loaderAsked, reached("loader"), reached("kernel"), closed(2), login(3, true), read(3), closed(3), login(4), read(4)),
    ).toEqual([]);
    expect(rig.wait(1e9)).toEqual([]);
    expect(rig.timers).toBe(0);
  });

  it("is not touched by a packet that says it is its firmware, nor by downloads long after it, nor by coming back after it", () => {
    const rig = new Rig();
    rig.signal(...up);
    expect(rig.signal(firmware(), firmware("ipxe-bios"))).toEqual([]);
    rig.wait(KNOCK_MS + 1);
    expect(rig.signal(loaderAsked, scriptAsked)).toEqual([]);
    expect(rig.signal(firmware(), closed(2), login(3, true), read(3), loaderAsked)).toEqual([]);
  });

  it("that was up before the daemon started has no boot until its firmware asks", () => {
    const rig = new Rig();
    expect(rig.signal(login(1), read(1), loaderAsked, reached("kernel"))).toEqual([]);
    expect(rig.wait(1e9)).toEqual([]);
    expect(rig.signal(firmware(), loaderAsked)).toEqual(["began 1 uefi-x64-pxe", "1: discover", "confirmed 1"]);
  });
});

describe("without a DHCP server of our own", () => {
  it("a boot begins with the request for the loader, however often firmware probes", () => {
    const rig = new Rig(true);
    expect(rig.signal(loaderAsked, loaderAsked, reached("loader"))).toEqual(["began 1", "confirmed 1", "1: loader"]);
    rig.signal(login(1), read(1), login(2, true));
    expect(rig.signal(loaderAsked)).toEqual([]);
    expect(rig.signal(scriptAsked)).toEqual(["began 2", "confirmed 2"]);
    rig.signal(login(3), read(3), login(4, true), closed(4));
    expect(rig.signal(loaderAsked)).toEqual(["began 3", "confirmed 3"]);
  });
});

describe("a daemon that restarts", () => {
  const at = (...stages: BootStage[]) => ({ number: 7, reached: new Set(stages), confirmed: true });

  it("goes on with the boot that it remembers, and counts on", () => {
    const rig = new Rig(false, 8);
    rig.boots.resume(uqbar, at("discover", "loader"));
    expect(rig.signal(firmware(), reached("kernel"), login(1), read(1))).toEqual(["7: kernel", "7: login", "7: first-read"]);
    expect(rig.signal(firmware(), loaderAsked)).toContain("began 8 uefi-x64-pxe");
  });

  it("forgets machines that are gone from the configuration, with their timers", () => {
    const rig = new Rig();
    rig.signal(...toTheDisk);
    rig.boots.keepOnly(new Set());
    expect(rig.timers).toBe(0);
    expect(rig.boots.current(uqbar)).toBeUndefined();
  });

  it("stops with no timer left", () => {
    const rig = new Rig();
    rig.signal(...toTheDisk);
    rig.boots.close();
    expect(rig.timers).toBe(0);
  });
});

it("whatever a machine does, boots are counted up, stages come once, and nothing follows up but the next boot", () => {
  const session = fc.integer({ min: 1, max: 3 });
  const signals = fc.oneof(
    fc.constant(firmware()),
    fc.constantFrom(loaderAsked, scriptAsked),
    fc.constantFrom("offer", "loader", "config", "kernel", "initramfs").map((stage) => reached(stage as "offer")),
    fc.tuple(session, fc.boolean()).map(([number, reinstated]) => login(number, reinstated)),
    session.map(read),
    session.map(closed),
    fc.constant("wait" as const),
  );
  fc.assert(
    fc.property(fc.array(signals, { maxLength: 60 }), fc.boolean(), (steps, loaderBegins) => {
      const rig = new Rig(loaderBegins);
      const told = steps.flatMap((step) => (step === "wait" ? rig.wait(UP_AFTER_MS) : rig.signal(step)));
      const began = told.filter((line) => line.startsWith("began")).map((line) => Number(line.split(" ")[1]));
      expect(began).toEqual(began.map((_, index) => index + 1));
      expect(new Set(told).size).toBe(told.length);
      for (const number of began) {
        const up = told.indexOf(`${number}: up`);
        if (up >= 0)
          expect(told.slice(up + 1).filter((line) => line.startsWith(`${number}:`) || line.startsWith(`abandoned ${number} `))).toEqual([]);
      }
      expect(rig.timers).toBeLessThanOrEqual(1);
    }),
  );
});
