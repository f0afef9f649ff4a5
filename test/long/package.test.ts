import { lstatSync, mkdtempSync, readdirSync, readlinkSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { runOrThrow } from "../harness/process.ts";

/** What Buildroot's package "rackboot" builds and installs, by its own commands and Debian's cross compiler. */
const ROOT = new URL("../../", import.meta.url).pathname;
const CROSS = "aarch64-linux-gnu-";
const BUILD_TIMEOUT_MS = 1_200_000;

let out: string;

beforeAll(async () => {
  out = mkdtempSync(join(tmpdir(), "rackboot-package-"));
  const board = (await runOrThrow([join(ROOT, "test/setup/board.sh")], { timeoutMs: BUILD_TIMEOUT_MS })).trim().split("\n").at(-1) ?? "";
  await runOrThrow([join(ROOT, "firmware/stage.sh"), join(out, "source")], { timeoutMs: BUILD_TIMEOUT_MS });
  const runtimes = join(ROOT, "node_modules/node/node_modules");
  const runtime = readdirSync(runtimes).find((name) => name.startsWith("node-linux-")) ?? "";
  const settings = [`OUT=${out}`, `SYSROOT=${board}/sysroot`, `NODE_HEADERS=${join(runtimes, runtime, "include/node")}`, `CROSS=${CROSS}`];
  await runOrThrow(["make", "-f", join(import.meta.dirname, "package/alone.mk"), ...settings], { timeoutMs: BUILD_TIMEOUT_MS });
});
afterAll(() => rmSync(out, { recursive: true }));

describe("the card's package", () => {
  it.each(["dist/src/native/rackboot.node", "dist/src/native/rackboot-supervise", "node_modules/epoll/build/Release/epoll.node"])(
    "has %s for the board's processor",
    async (file) => {
      const header = await runOrThrow([`${CROSS}readelf`, "-h", join(out, "target/usr/lib/rackboot", file)]);
      expect(header).toMatch(/Machine:\s+AArch64/);
    },
  );

  it("has nothing for another one, and no source or compiler's leavings", async () => {
    const listed = await runOrThrow(["find", join(out, "target"), "-name", "*.node", "-exec", `${CROSS}readelf`, "-h", "{}", ";"]);
    for (const machine of listed.match(/Machine:.*/g) ?? ["none"]) expect(machine).toContain("AArch64");
    expect((await runOrThrow(["find", join(out, "target"), "-name", "*.cc", "-o", "-name", "*.o", "-o", "-name", "*.ts"])).trim()).toBe("");
  });

  it("is started by its name", () => {
    const link = join(out, "target/usr/bin/rackboot");
    expect(readlinkSync(link)).toBe("../lib/rackboot/dist/src/main.js");
    expect(lstatSync(join(out, "target/usr/bin", readlinkSync(link))).isFile()).toBe(true);
  });
});
