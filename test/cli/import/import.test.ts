import { mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import { afterEach, beforeEach, expect, test } from "vitest";
import { readCtlConf } from "../../../src/cli/import/ctl-conf.ts";
import { readDnsmasq } from "../../../src/cli/import/dnsmasq.ts";
import { ImportError } from "../../../src/cli/import/notes.ts";
import { runCli } from "../../../src/cli/index.ts";
import { readConfig } from "../../../src/machine/config-file.ts";

const vectors = join(import.meta.dirname, "../../vectors/import");
const FILES = ["--dnsmasq", join(vectors, "dnsmasq.conf"), "--ctl-conf", join(vectors, "ctl.conf")];

let folder: string;
let out: string;
let err: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "rackboot-import-"));
});
afterEach(() => rmSync(folder, { recursive: true }));

async function rackboot(...words: readonly string[]): Promise<number> {
  out = "";
  err = "";
  const paint = (_: unknown, text: string): string => text;
  const output = {
    out: (text: string) => {
      out += text;
    },
    err: (text: string) => {
      err += text;
    },
    paint,
    paintError: paint,
    terminal: false,
  };
  return await runCli(["node", "rackboot", ...words], output);
}

test("the rack of before is described as it was, line for line", async () => {
  expect(await rackboot("import", ...FILES)).toBe(0);
  await expect(out).toMatchFileSnapshot(join(vectors, "rackboot.yaml"));
});

test("whatever is not carried over is told, with its line", async () => {
  await rackboot("import", ...FILES);
  await expect(err).toMatchFileSnapshot(join(vectors, "notes.txt"));
});

test("what is written is good, secrets are nobody else's to read, and nothing is ever overwritten", async () => {
  const [config, secrets] = [join(folder, "rackboot.yaml"), join(folder, "secrets.yaml")];
  expect(await rackboot("import", ...FILES, "--output", config, "--secrets", secrets)).toBe(0);
  expect(statSync(secrets).mode & 0o777).toBe(0o600);
  const reading = readConfig(config);
  expect(reading).toMatchObject({ ok: true });
  expect(reading.ok && [...reading.secrets]).toEqual([
    ["tlon", { user: "tlon", secret: "tlon-secret-1", mutual: { user: "target", secret: "target-secret-1" } }],
  ]);
  const before = readFileSync(config, "utf8");
  expect(await rackboot("import", "--ctl-conf", join(vectors, "ctl.conf"), "--output", config)).toBe(1);
  expect(err).toContain("nothing is overwritten");
  expect(readFileSync(config, "utf8")).toBe(before);
});

test("a file that is no such configuration is refused with its place", async () => {
  expect(await rackboot("import")).toBe(2);
  expect(await rackboot("import", "--dnsmasq", join(folder, "absent"))).toBe(1);
  expect(err).toContain("cannot be read");
  writeFileSync(join(folder, "ctl.conf"), "target iqn.x {\n  lun 0 {\n    path /x\n");
  expect(await rackboot("import", "--ctl-conf", join(folder, "ctl.conf"))).toBe(1);
  expect(err).toContain("ctl.conf:2: the brace that opens here is never closed");
});

test("no text makes more of a reader than notes or one sentence", () => {
  const words = fc.constantFrom("target", "lun", "0", "{", "}", ";", '"', "path", "/x", "\n", " ", "chap", "a", "#", "\\", "auth-group");
  const text = fc.oneof(
    fc.string(),
    fc.array(words, { maxLength: 60 }).map((all) => all.join(" ")),
  );
  fc.assert(
    fc.property(text, (content) => {
      try {
        readCtlConf(content, "ctl.conf");
      } catch (error) {
        expect(error).toBeInstanceOf(ImportError);
      }
      const line = content.replaceAll("\n", ",");
      for (const key of ["dhcp-host", "dhcp-range", "dhcp-option", "dhcp-boot", "domain"])
        readDnsmasq(`${key}=${line}\n${content}`, "dnsmasq.conf");
    }),
    { numRuns: 10_000 },
  );
});
