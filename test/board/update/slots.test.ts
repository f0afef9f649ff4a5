import fc from "fast-check";
import { describe, expect, it } from "vitest";
import {
  attempt,
  begin,
  complete,
  confirm,
  dismiss,
  NEW_CARD,
  SLOT_STATES,
  SlotError,
  type Slots,
  started,
  tryTarget,
} from "../../../board/update/slots.ts";
import { Machine, PowerCut } from "./machine.ts";

const works = (version: string): boolean => version !== "bad";

/** The writes of a whole update, up to the one that makes it stay. */
function update(machine: Machine, version: string): void {
  machine.install(version);
  machine.tryOther(works);
}

/** Runs `work` with the current ending after `writes` writes; then the current comes back. */
function cutAfter(machine: Machine, writes: number, work: () => void): boolean {
  machine.writesLeft = writes;
  let cut = false;
  try {
    work();
  } catch (error) {
    if (!(error instanceof PowerCut)) throw error;
    cut = true;
  }
  machine.writesLeft = Number.POSITIVE_INFINITY;
  if (cut) {
    machine.boot(false);
    machine.comeUp(works);
  }
  return cut;
}

describe("an update", () => {
  it("runs the new version and keeps the old one as the way back", () => {
    const machine = new Machine();
    update(machine, "2");
    expect(machine.version).toBe("2");
    expect(machine.slots()).toEqual({ primary: "b", states: { a: "good", b: "good" } });
    machine.boot(false);
    expect(machine.version).toBe("2");
    machine.tryOther(works);
    expect(machine.version).toBe("1");
    expect(machine.slots().primary).toBe("a");
  });

  it("that does not become READY leaves the old version, and says which slot failed", () => {
    const machine = new Machine();
    update(machine, "bad");
    expect(machine.version).toBe("1");
    expect(machine.slots()).toEqual({ primary: "a", states: { a: "good", b: "failed" } });
    update(machine, "3");
    expect(machine.version).toBe("3");
  });

  it.each([["2"], ["bad"]])("to version %s survives a power cut after every single write", (version) => {
    const whole = new Machine();
    update(whole, version);
    for (let writes = 0; writes < whole.writes; writes++) {
      const machine = new Machine();
      expect(cutAfter(machine, writes, () => update(machine, version))).toBe(true);
      // The old one runs, or the new one that was READY; never a third thing.
      const last = machine.slots().primary === "b";
      expect(machine.version, `after ${writes} writes`).toBe(last ? version : "1");
      expect(works(machine.version)).toBe(true);
      update(machine, "3");
      expect(machine.version, `updated again after ${writes} writes`).toBe("3");
    }
  });

  it("and a way back survive any number of cuts, one after the other", () => {
    const step = fc.record({
      what: fc.constantFrom("install", "try", "dismiss"),
      version: fc.constantFrom("2", "3", "bad"),
      writes: fc.nat({ max: 8 }),
    });
    fc.assert(
      fc.property(fc.array(step, { maxLength: 20 }), (steps) => {
        const machine = new Machine();
        for (const { what, version, writes } of steps) {
          cutAfter(machine, writes, () => {
            try {
              if (what === "install") machine.install(version);
              if (what === "try") machine.tryOther(works);
              if (what === "dismiss") machine.put(dismiss(machine.slots()));
            } catch (error) {
              if (!(error instanceof SlotError)) throw error;
            }
          });
          // Whatever happened: from power-off a version starts that was READY once, and a try starts nothing half written.
          expect(works(machine.version)).toBe(true);
          const { running } = machine;
          expect(machine.boot(false)).toBe(running);
          machine.boot(true);
          machine.boot(false);
        }
      }),
      { numRuns: 2_000 },
    );
  });
});

describe("what makes no sense now", () => {
  const trying: Slots = { primary: "a", states: { a: "good", b: "trying" } };

  it("is refused while a system is on trial", () => {
    expect(() => begin(trying, "b")).toThrow("wait until it is confirmed, then install");
    expect(() => attempt(trying, "b")).toThrow("on trial");
  });

  it("is refused where there is nothing whole to start, and says what to do", () => {
    for (const state of ["empty", "writing", "failed"] as const) {
      const slots: Slots = { primary: "a", states: { a: "good", b: state } };
      expect(() => attempt(slots, "a")).toThrow("install an update first");
      expect(tryTarget(slots)).toBe("a");
    }
    expect(() => complete(NEW_CARD)).toThrow("install the update again");
  });

  it("changes nothing of a card that needs nothing", () => {
    expect(started(NEW_CARD, "a")).toBe(NEW_CARD);
    expect(confirm(NEW_CARD, "a")).toEqual(NEW_CARD);
    for (const state of SLOT_STATES) {
      const slots: Slots = { primary: "b", states: { a: state, b: "good" } };
      expect(started(slots, "b").states.b).toBe("good");
    }
  });
});
