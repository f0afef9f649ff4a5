import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { boardNames, findBoard, loadBoard } from "../../board/board.ts";

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "rackboot-board-"));
});
afterEach(() => rmSync(folder, { recursive: true }));

function deviceTree(...compatible: readonly string[]): string {
  const file = join(folder, "compatible");
  writeFileSync(file, compatible.map((id) => `${id}\0`).join(""));
  return file;
}

function board(name: string, text: string): void {
  mkdirSync(join(folder, name), { recursive: true });
  writeFileSync(join(folder, name, "board.yaml"), text);
}

test("every board that ships can be read, and no two of its lines are the same", () => {
  expect(boardNames()).toEqual(expect.arrayContaining(["generic", "qemu-virt", "rpi4", "rpi5"]));
  for (const name of boardNames()) {
    const { lamps, button } = loadBoard(name);
    const lines = [...Object.values(lamps), ...(button === undefined ? [] : [button])];
    expect(new Set(lines.map(({ chip, line }) => `${chip} ${line}`)).size).toBe(lines.length);
    // The header's UART is the console's.
    for (const { chip, line } of lines) expect(chip.startsWith("pinctrl-") && (line === 14 || line === 15)).toBe(false);
  }
});

test("a card that is put into another board finds that board's lamps", () => {
  expect(findBoard(undefined, deviceTree("raspberrypi,4-model-b", "brcm,bcm2711")).name).toBe("rpi4");
  expect(findBoard(undefined, deviceTree("raspberrypi,5-model-b", "brcm,bcm2712")).name).toBe("rpi5");
  expect(findBoard(undefined, deviceTree("linux,dummy-virt")).name).toBe("qemu-virt");
  expect(findBoard("rpi5", deviceTree("linux,dummy-virt")).name).toBe("rpi5");
});

test("any other machine has no lamps and nothing of it is touched", () => {
  for (const found of [findBoard(undefined, deviceTree("acme,toaster")), findBoard(undefined, join(folder, "none"))]) {
    expect(found).toMatchObject({ name: "generic", lamps: {}, leds: {}, uarts: [] });
    expect(found.button).toBeUndefined();
  }
});

test("a new board is a new folder", () => {
  board("rock5", 'title: Rock 5\ncompatible: ["radxa,rock-5b"]\nlamps: { ready: { chip: gpio3, line: 9 } }');
  const found = findBoard(undefined, deviceTree("radxa,rock-5b"), folder);
  expect(found).toMatchObject({ name: "rock5", lamps: { ready: { chip: "gpio3", line: 9, "active-low": false } } });
});

test("a board that there is none of, or a wrong description, is one sentence that says what is wrong", () => {
  expect(() => loadBoard("rpi9")).toThrow(/there is no board rpi9; there are generic, qemu-virt, rpi4, rpi5/);
  expect(() => loadBoard("../test")).toThrow("there is no board ../test");
  board("bad", "title: Bad\nlamps: { ready: { chip: gpio3, line: -1 } }\nbuzzer: 7");
  expect(() => loadBoard("bad", folder)).toThrow(/board\.yaml: .*lamps\.ready\.line.*buzzer/);
});
