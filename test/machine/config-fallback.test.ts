import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { keepLastGood, readLastGood, readStartingConfig } from "../../src/machine/config-fallback.ts";

const text = (address: string): string => `network: { interface: eth0, address: ${address}/24 }\nstorage: { path: ./data }\nmachines: {}\n`;
const GARBLED = 'network: { interface: eth0, address: 172.16.0.\n  <<<<\t"';

let folder: string;
let file: string;
let lastGood: string;
let factory: string;

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "rackboot-fallback-"));
  [file, lastGood, factory] = [join(folder, "card/rackboot.yaml"), join(folder, "last-good.yaml"), join(folder, "factory.yaml")];
  writeFileSync(factory, text("172.16.0.1"));
});
afterEach(() => rmSync(folder, { recursive: true }));

/** Where it came from, the address that it has, and what was wrong with the person's own. */
function starts(write?: string): readonly unknown[] {
  if (write !== undefined) {
    rmSync(join(folder, "card"), { recursive: true, force: true });
    file = join(mkdtempSync(join(folder, "card-")), "rackboot.yaml");
    writeFileSync(file, write);
  }
  const starting = readStartingConfig(file, { lastGood, factory });
  if (!starting.ok) return ["refused", starting.problems.length > 0];
  return [starting.from, starting.reading.config.network.address, starting.rejected?.length ?? 0];
}

describe("a board that must start", () => {
  it("starts from the file on the card; a new one without a file from the factory's, and nothing is wrong with it", () => {
    expect(starts()).toEqual(["factory", "172.16.0.1", 0]);
    expect(starts(text("10.0.0.1"))).toEqual(["file", "10.0.0.1", 0]);
  });

  it("starts from the last one that ran where a laptop left a garbled one, and says what is wrong with that", () => {
    writeFileSync(lastGood, text("10.0.0.1"));
    const [from, address, problems] = starts(GARBLED);
    expect([from, address]).toEqual(["last-good", "10.0.0.1"]);
    expect(problems).toBeGreaterThan(0);
    // Paths are relative to the person's file, as they were when it ran.
    const starting = readStartingConfig(file, { lastGood });
    expect(starting.ok && starting.reading.config.storage.path).toBe(join(file, "../data"));
  });

  it("starts from the factory's where no copy is good either; only without one it is refused with the reasons", () => {
    writeFileSync(lastGood, GARBLED);
    const [from, , problems] = starts(GARBLED);
    expect(from).toBe("factory");
    expect(problems).toBeGreaterThan(0);
    rmSync(factory);
    expect(readStartingConfig(file, { lastGood })).toMatchObject({ ok: false, file });
  });

  it("starts from the factory's where somebody held the button, and leaves what is on the card as it is", () => {
    const recovery = join(folder, "recovery");
    starts(text("10.0.0.1"));
    writeFileSync(recovery, "");
    const starting = readStartingConfig(file, { lastGood, factory, recovery });
    expect(starting).toMatchObject({ from: "factory", reading: { file, config: { network: { address: "172.16.0.1" } } } });
    expect(starting).not.toHaveProperty("rejected");
    rmSync(recovery);
    expect(readStartingConfig(file, { lastGood, factory, recovery })).toMatchObject({ from: "file" });
    expect(readFileSync(file, "utf8")).toBe(text("10.0.0.1"));
  });

  it("keeps what runs, and writes it only where it is another one: the card's state wears out too", () => {
    starts(text("10.0.0.1"));
    keepLastGood(file, lastGood);
    expect(readFileSync(lastGood, "utf8")).toBe(text("10.0.0.1"));
    expect(readLastGood(file, lastGood)?.config.network.address).toBe("10.0.0.1");
    rmSync(file);
    writeFileSync(file, text("10.0.0.1"));
    expect(existsSync(`${lastGood}.new`)).toBe(false);
  });
});
