import { chmodSync, lstatSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, it } from "vitest";
import { replaceConfig } from "../../src/machine/config-store.ts";

let folder: string;
let file: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "rackboot-config-"));
  file = join(folder, "rackboot.yaml");
  writeFileSync(file, "old");
  chmodSync(file, 0o640);
});
afterEach(() => rmSync(folder, { recursive: true }));

it("the file stays who may read it, and where it really is", () => {
  const link = join(folder, "link.yaml");
  symlinkSync("rackboot.yaml", link);
  replaceConfig(link, "old", "new");
  expect(readFileSync(file, "utf8")).toBe("new");
  expect(statSync(file).mode & 0o777).toBe(0o640);
  expect(lstatSync(link).isSymbolicLink()).toBe(true);
  expect(readdirSync(folder)).toEqual(["link.yaml", "rackboot.yaml"]);
});

it("what a person saved meanwhile is not lost", () => {
  expect(() => replaceConfig(file, "what it was before", "new")).toThrow(
    "was changed by somebody else meanwhile; look at it and try again",
  );
  expect(readFileSync(file, "utf8")).toBe("old");
  expect(readdirSync(folder)).toEqual(["rackboot.yaml"]);
});

it("a file that cannot be written says so, and where to change it", () => {
  rmSync(file);
  expect(() => replaceConfig(file, "old", "new")).toThrow(/rackboot\.yaml cannot be written \(ENOENT.*change it where it comes from/);
});
