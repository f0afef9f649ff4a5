import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { execute } from "../../src/scsi/commands.ts";
import { DENIED, deniedTo, MAX_REGISTRATIONS, type Nexus, nexusId, RESERVATION_TYPES } from "../../src/scsi/reservations.ts";
import { initialState, type UnitChange, type UnitState } from "../../src/scsi/unit-state.ts";
import { CONTEXT, cdbOf, nexusOf, senseOf, UNIT } from "./support.ts";

const CONFLICT = "status 24";
const GOOD = "status 0";
const A = nexusOf("uqbar");
const B = nexusOf("tlon");
const C = nexusOf("orbis");

const ACTION = { register: 0, reserve: 1, release: 2, clear: 3, preempt: 4, abort: 5, ignore: 6 } as const;
const TYPE = { writes: 1, access: 3, writesRegistrants: 5, accessRegistrants: 6, writesAll: 7, accessAll: 8 } as const;

interface Asked {
  readonly type?: number;
  readonly key?: number;
  readonly serviceKey?: number;
  readonly flags?: number;
}

/** A unit and what its initiators have done to it. */
class Unit {
  state: UnitState = initialState(UNIT);
  last: UnitChange = {};

  send(nexus: Nexus, cdb: string, dataOut: Uint8Array = new Uint8Array(0)): { readonly told: string; readonly data: Uint8Array } {
    const { result, change = {} } = execute({ cdb: cdbOf(cdb), dataOut }, { ...CONTEXT, nexus, state: this.state });
    this.state = { ...this.state, ...(change.reservations && { reservations: change.reservations }) };
    this.last = change;
    return { told: senseOf(result), data: result.data ?? new Uint8Array(0) };
  }

  out(nexus: Nexus, action: number, { type = 0, key = 0, serviceKey = 0, flags = 0 }: Asked): string {
    const list = Buffer.alloc(24);
    list.writeBigUInt64BE(BigInt(key), 0);
    list.writeBigUInt64BE(BigInt(serviceKey), 8);
    list[20] = flags;
    const octet = (value: number): string => value.toString(16).padStart(2, "0");
    return this.send(nexus, `5f ${octet(action)} ${octet(type)} 00 00 00 00 00 18 00`, list).told;
  }

  register(nexus: Nexus, serviceKey: number, key = 0): string {
    return this.out(nexus, ACTION.register, { key, serviceKey });
  }

  /** Three registered initiators; the first one holds. */
  static held(type: number): Unit {
    const unit = new Unit();
    for (const [index, nexus] of [A, B].entries()) unit.register(nexus, index + 1);
    expect(unit.out(A, ACTION.reserve, { type, key: 1 })).toBe(GOOD);
    return unit;
  }

  tell(): readonly (readonly [string, readonly string[]])[] {
    return (this.last.attentions ?? []).map(({ asc, ascq, nexuses = [] }) => [`${asc.toString(16)}/${ascq}`, nexuses] as const);
  }

  denied(nexus: Nexus): string {
    return deniedTo(this.state.reservations, nexusId(nexus));
  }
}

describe("registering", () => {
  it("wants the key that is registered, and none from a newcomer", () => {
    const unit = new Unit();
    expect(unit.register(A, 7, 1)).toBe(CONFLICT);
    expect(unit.register(A, 7)).toBe(GOOD);
    expect(unit.register(A, 8)).toBe(CONFLICT);
    expect(unit.register(A, 8, 7)).toBe(GOOD);
    expect(unit.out(A, ACTION.ignore, { key: 99, serviceKey: 9 })).toBe(GOOD);
    expect(Buffer.from(unit.send(A, "5e 00 00 00 00 00 00 00 ff").data).toString("hex")).toBe("00000003000000080000000000000009");
  });

  it("of every path at once takes one command", () => {
    const unit = new Unit();
    expect(unit.out(A, ACTION.register, { serviceKey: 7, flags: 0x04 })).toBe(GOOD);
    expect(unit.state.reservations.registrations.map(({ nexus }) => nexus.portalTag)).toEqual([1, 2]);
  });

  it("on behalf of others is refused, as it is announced", () => {
    expect(new Unit().out(A, ACTION.register, { serviceKey: 7, flags: 0x08 })).toBe("5/26/00 parameter 20");
    const capabilities = new Unit().send(A, "5e 02 00 00 00 00 00 00 ff").data;
    expect(Buffer.from(capabilities).toString("hex")).toBe("00081590ea010000");
  });

  it("ends where the table is full, with a reason", () => {
    const unit = new Unit();
    for (let index = 0; index < MAX_REGISTRATIONS; index++) expect(unit.register(nexusOf(`m${index}`), 1)).toBe(GOOD);
    expect(unit.register(A, 1)).toBe("5/55/04");
  });

  it("wants a parameter list of 24 octets", () => {
    expect(new Unit().send(A, "5f 00 00 00 00 00 00 00 17 00", new Uint8Array(24)).told).toBe("5/1a/00");
    expect(new Unit().send(A, "5f 00 00 00 00 00 00 00 18 00", new Uint8Array(23)).told).toBe("5/1a/00");
  });
});

describe("a persistent reservation", () => {
  // SPC-4, table 66: what each type keeps a registered and an unregistered nexus from.
  it.each([
    [TYPE.writes, "writes", "writes"],
    [TYPE.access, "medium", "medium"],
    [TYPE.writesRegistrants, "nothing", "writes"],
    [TYPE.accessRegistrants, "nothing", "medium"],
    [TYPE.writesAll, "nothing", "writes"],
    [TYPE.accessAll, "nothing", "medium"],
  ])("of type %i keeps others out as its name says", (type, registered, unregistered) => {
    const unit = Unit.held(type);
    expect([unit.denied(A), unit.denied(B), unit.denied(C)]).toEqual(["nothing", registered, unregistered]);
  });

  it("leaves the commands to everybody that harm nobody", () => {
    const unit = Unit.held(TYPE.access);
    for (const cdb of ["12 00 00 00 ff", "a0 00 00 00 00 00 00 00 00 ff", "25", "1b 00 00 00 01", "1e", "5e 00 00 00 00 00 00 00 ff"]) {
      expect(unit.send(C, cdb).told).toBe(GOOD);
    }
    for (const cdb of ["15 10 00 00 00", "1b", "1e 00 00 00 01", "1a 00 3f 00 ff"]) expect(unit.send(C, cdb).told).toBe(CONFLICT);
  });

  it("is had once, by one who is registered", () => {
    const unit = Unit.held(TYPE.writes);
    expect(unit.out(B, ACTION.reserve, { type: TYPE.writes, key: 2 })).toBe(CONFLICT);
    expect(unit.out(A, ACTION.reserve, { type: TYPE.access, key: 1 })).toBe(CONFLICT);
    expect(unit.out(A, ACTION.reserve, { type: TYPE.writes, key: 1 })).toBe(GOOD);
    expect(unit.out(C, ACTION.reserve, { type: TYPE.writes })).toBe(CONFLICT);
    expect(unit.out(A, ACTION.reserve, { type: 2, key: 1 })).toBe("5/24/00 cdb 2.3");
    expect(unit.out(A, ACTION.reserve, { type: 0x11, key: 1 })).toBe("5/24/00 cdb 2.7");
  });

  it("is released by its holder, as the type that it is, and the registrants hear of it", () => {
    const unit = Unit.held(TYPE.writesRegistrants);
    expect(unit.out(B, ACTION.release, { type: TYPE.writesRegistrants, key: 2 })).toBe(GOOD);
    expect(unit.denied(C)).toBe("writes");
    expect(unit.out(A, ACTION.release, { type: TYPE.access, key: 1 })).toBe("5/26/04");
    expect(unit.out(A, ACTION.release, { type: TYPE.writesRegistrants, key: 1 })).toBe(GOOD);
    expect(unit.tell()).toEqual([["2a/4", [nexusId(B)]]]);
    expect(unit.denied(C)).toBe("nothing");
  });

  it("goes with its holder's registration, and that of all registrants with the last", () => {
    const one = Unit.held(TYPE.writesRegistrants);
    expect(one.register(A, 0, 1)).toBe(GOOD);
    expect(one.tell()).toEqual([["2a/4", [nexusId(B)]]]);
    expect(one.denied(C)).toBe("nothing");
    const all = Unit.held(TYPE.accessAll);
    expect(all.register(A, 0, 1)).toBe(GOOD);
    expect(all.denied(A)).toBe("medium");
    expect(all.register(B, 0, 2)).toBe(GOOD);
    expect(all.denied(A)).toBe("nothing");
  });

  it("is told with its key and type, and with every registrant", () => {
    const unit = Unit.held(TYPE.access);
    expect(Buffer.from(unit.send(B, "5e 01 00 00 00 00 00 00 ff").data).toString("hex")).toBe(
      "0000000200000010000000000000000100000000000300000".slice(0, 48),
    );
    const full = unit.send(B, "5e 03 00 00 00 00 00 ff ff").data;
    expect(Buffer.from(full.subarray(8 + 24 + 4)).toString("latin1")).toMatch(/^iqn\.1994-05\.com\.redhat:uqbar,i,0x00023d000001\0/);
    expect(full[8 + 12]).toBe(1);
  });
});

describe("taking a reservation away", () => {
  it("from a machine that has died gives it to the one that preempts", () => {
    const unit = Unit.held(TYPE.writes);
    expect(unit.out(B, ACTION.preempt, { type: TYPE.access, key: 2, serviceKey: 1 })).toBe(GOOD);
    expect(unit.tell()).toEqual([["2a/5", [nexusId(A)]]]);
    expect([unit.denied(B), unit.denied(A)]).toEqual(["nothing", "medium"]);
    expect(unit.last.abort).toBeUndefined();
  });

  it("with its commands ends what the other has under way", () => {
    const unit = Unit.held(TYPE.writes);
    expect(unit.out(B, ACTION.abort, { type: TYPE.writes, key: 2, serviceKey: 1 })).toBe(GOOD);
    expect(unit.last.abort).toEqual([nexusId(A)]);
  });

  it("removes registrations where the key is not the holder's", () => {
    const unit = Unit.held(TYPE.writes);
    unit.register(C, 3);
    expect(unit.out(B, ACTION.preempt, { type: TYPE.writes, key: 2, serviceKey: 3 })).toBe(GOOD);
    expect(unit.state.reservations.registrations).toHaveLength(2);
    expect(unit.denied(B)).toBe("writes");
    expect(unit.out(B, ACTION.preempt, { type: TYPE.writes, key: 2, serviceKey: 3 })).toBe(CONFLICT);
    expect(unit.out(B, ACTION.preempt, { type: TYPE.writes, key: 2, serviceKey: 0 })).toBe("5/26/00 parameter 8");
  });

  it("clears everything when asked to, and tells the others", () => {
    const unit = Unit.held(TYPE.access);
    expect(unit.out(B, ACTION.clear, { key: 2 })).toBe(GOOD);
    expect(unit.tell()).toEqual([["2a/3", [nexusId(A)]]]);
    expect(unit.state.reservations.registrations).toEqual([]);
    expect(unit.denied(C)).toBe("nothing");
  });
});

describe("RESERVE(6)", () => {
  it("keeps everybody else out until RELEASE(6)", () => {
    const unit = new Unit();
    expect(unit.send(A, "16").told).toBe(GOOD);
    expect([unit.denied(A), unit.denied(B)]).toEqual(["nothing", "unit"]);
    expect(unit.send(B, "16").told).toBe(CONFLICT);
    expect(unit.register(B, 1)).toBe(CONFLICT);
    expect(unit.send(B, "17").told).toBe(GOOD);
    expect(unit.denied(B)).toBe("unit");
    expect(unit.send(A, "17").told).toBe(GOOD);
    expect(unit.denied(B)).toBe("nothing");
  });

  it("changes nothing beside persistent reservations", () => {
    const unit = Unit.held(TYPE.writesRegistrants);
    expect([unit.send(A, "16").told, unit.send(B, "16").told, unit.send(C, "16").told]).toEqual([GOOD, GOOD, CONFLICT]);
    expect(unit.state.reservations.reserved).toBeUndefined();
  });
});

it("whatever initiators ask for, reservations stay whole: each nexus once, a holder who is registered, and never all shut out", () => {
  const ask = fc.record({
    nexus: fc.constantFrom(A, B, C),
    action: fc.integer({ min: 0, max: 7 }),
    type: fc.integer({ min: 0, max: 9 }),
    key: fc.integer({ min: 0, max: 3 }),
    serviceKey: fc.integer({ min: 0, max: 3 }),
    flags: fc.constantFrom(0, 0, 1, 4),
  });
  const check = fc.property(fc.array(ask, { maxLength: 40 }), (asked) => {
    const unit = new Unit();
    for (const { nexus, action, ...rest } of asked) {
      unit.out(nexus, action, rest);
      const { registrations, held } = unit.state.reservations;
      const ids = registrations.map((registration) => nexusId(registration.nexus));
      expect(new Set(ids).size).toBe(ids.length);
      if (held === undefined) expect(DENIED.indexOf(deniedTo(unit.state.reservations, ""))).toBe(0);
      else if (RESERVATION_TYPES.get(held.type)?.allHold === true) expect(ids.length).toBeGreaterThan(0);
      else expect(ids).toContain(held.holder);
    }
  });
  fc.assert(check, { numRuns: 500 });
});
