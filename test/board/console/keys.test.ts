import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { type Key, KeyDecoder } from "../../../board/console/keys.ts";

function keysOf(...pieces: readonly string[]): readonly string[] {
  const decoder = new KeyDecoder();
  const keys = pieces.flatMap((piece) => [...decoder.decode(Buffer.from(piece, "latin1"))]);
  return [...keys, ...decoder.timeout()].map(named);
}

function named(key: Key): string {
  return key.kind === "text" ? `"${key.text}"` : key.kind;
}

describe("a person who types", () => {
  it("moves with the arrow keys of every terminal, in both cursor key modes", () => {
    expect(keysOf("\u001b[A\u001b[B\u001b[C\u001b[D")).toEqual(["up", "down", "right", "left"]);
    expect(keysOf("\u001bOA\u001bOB\u001bOC\u001bOD")).toEqual(["up", "down", "right", "left"]);
    expect(keysOf("\u001b[1;5A\u001b[5~\u001b[6~\u001b[1~\u001b[4~\u001bOH\u001b[F\u001b[3~")).toEqual([
      "up",
      "page-up",
      "page-down",
      "home",
      "end",
      "home",
      "end",
      "delete",
    ]);
  });

  it("is understood when a key arrives octet by octet, as on a slow line", () => {
    expect(keysOf("\u001b", "[", "A")).toEqual(["up"]);
    expect(keysOf("\u001b", "O", "B", "7")).toEqual(["down", '"7"']);
  });

  it("gets out with a lone Esc, after a moment, or by pressing it twice", () => {
    const decoder = new KeyDecoder();
    expect(decoder.decode(Buffer.from("\u001b"))).toEqual([]);
    expect(decoder.waiting).toBe(true);
    expect(decoder.timeout()).toEqual([{ kind: "escape" }]);
    expect(keysOf("\u001b\u001b[A")).toEqual(["escape", "up"]);
  });

  it("presses Enter once, whether the terminal sends CR, LF or both", () => {
    expect(keysOf("a\rb\nc\r\nd")).toEqual(['"a"', "enter", '"b"', "enter", '"c"', "enter", '"d"']);
    expect(keysOf("\r", "\n")).toEqual(["enter"]);
  });

  it("pastes a text as it is", () => {
    expect(keysOf("machines:\r\n  uqbar: {}\r\n.\r\n")).toEqual(['"machines:"', "enter", '"  uqbar: {}"', "enter", '"."', "enter"]);
  });

  it("corrects, empties, ends and draws again", () => {
    expect(keysOf("\b\u007f\u0015\u0004\u0003\f\t")).toEqual(["backspace", "backspace", "clear", "finish", "interrupt", "redraw", "tab"]);
  });
});

describe("a disturbed line", () => {
  it("is told from keys, and what follows is understood again", () => {
    expect(keysOf("\u00ff\u0080\u001b[99;99;99q\u001bx7")).toEqual(["noise", "noise", "noise", "noise", '"7"']);
    expect(keysOf(`\u001b[${"1;".repeat(40)}A`)).toContain("noise");
  });

  it("chooses nothing with what the other side of a file transfer still says", () => {
    // ZFIN as rz sends it again and again, in lrzsz 0.12.21.
    const header = "**\u0018B0800000000022d\r\u008a";
    expect(keysOf(`${header}${header}7\r`)).toEqual(['"**"', "noise", "noise", "noise", '"**"', "noise", "noise", "noise", '"7"', "enter"]);
    expect(keysOf("\u0018\u0018\u00187")).toEqual(["noise", "noise", "noise", '"7"']);
    expect(keysOf("\u0018B08\r")).toEqual(["noise", "enter"]);
  });

  it("may stay silent without a trace: breaks, flow control, bells", () => {
    expect(keysOf("\u0000\u0011\u0013\u0007")).toEqual([]);
  });

  it("never makes it throw, whatever comes, in whatever pieces; and no piece changes what the whole means", () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 64 }), fc.integer({ min: 0, max: 64 }), (octets, cut) => {
        const whole = new KeyDecoder();
        const pieces = new KeyDecoder();
        const text = (keys: readonly Key[]): string => keys.map((key) => (key.kind === "text" ? key.text : `<${key.kind}>`)).join("");
        const atOnce = text([...whole.decode(octets), ...whole.timeout()]);
        const cutUp = text([...pieces.decode(octets.subarray(0, cut)), ...pieces.decode(octets.subarray(cut)), ...pieces.timeout()]);
        expect(cutUp).toBe(atOnce);
        expect(whole.waiting).toBe(false);
      }),
      { numRuns: 2000 },
    );
  });
});
