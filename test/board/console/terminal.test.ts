import { Terminal } from "@xterm/headless";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { COLUMNS, type Frame, Painter, ROWS, WIDTH } from "../../../board/console/terminal.ts";
import { screenOf } from "./emulator.ts";

const line = fc.string({ unit: fc.integer({ min: 0x20, max: 0x7e }).map((code) => String.fromCharCode(code)), maxLength: WIDTH });
const frame: fc.Arbitrary<Frame> = fc.record({
  lines: fc.array(line, { minLength: ROWS, maxLength: ROWS }),
  cursor: fc.record({ row: fc.integer({ min: 0, max: ROWS - 1 }), column: fc.integer({ min: 0, max: WIDTH }) }),
});

function write(terminal: Terminal, text: string): Promise<void> {
  return new Promise((resolve) => terminal.write(text, resolve));
}

const trimmed = ({ lines }: Frame): readonly string[] => lines.map((text) => text.trimEnd());

describe("a terminal", () => {
  it("shows what it should after any two pages, though only what differs was sent", async () => {
    await fc.assert(
      fc.asyncProperty(frame, frame, async (first, second) => {
        const terminal = new Terminal({ cols: COLUMNS, rows: ROWS, allowProposedApi: true });
        const painter = new Painter();
        await write(terminal, painter.paint(first));
        await write(terminal, painter.paint(second));
        expect(screenOf(terminal)).toEqual(trimmed(second));
        terminal.dispose();
      }),
      { numRuns: 50 },
    );
  });

  it("shows the whole page again after noise that moved, shifted, inverted and scrolled it", async () => {
    const terminal = new Terminal({ cols: COLUMNS, rows: ROWS, allowProposedApi: true });
    const painter = new Painter();
    const page: Frame = {
      lines: Array.from({ length: ROWS }, (_, row) => `line ${row} ${"x".repeat(row)}`),
      cursor: { row: 3, column: 2 },
    };
    await write(terminal, painter.paint(page));
    await write(terminal, "\u000e\u001b(0\u001b[7m\u001b[5;9r\u001b[?6h\u001b[4h\n\n\n\n\ngarbage\u001b[2J");
    painter.forget();
    await write(terminal, painter.paint(page));
    expect(screenOf(terminal)).toEqual(trimmed(page));
    expect([terminal.buffer.active.cursorY, terminal.buffer.active.cursorX]).toEqual([3, 2]);
    terminal.dispose();
  });

  it("is sent a few octets for a clock that ticks, and none for a page that stands still", () => {
    const painter = new Painter();
    const at = (clock: string): Frame => ({ lines: [`rackboot  ${clock}`], cursor: { row: 5, column: 1 } });
    painter.paint(at("10:00:01"));
    expect(painter.paint(at("10:00:02"))).toBe("\u001b[1;18H2\u001b[6;2H");
    expect(painter.paint(at("10:00:02"))).toBe("");
  });
});
