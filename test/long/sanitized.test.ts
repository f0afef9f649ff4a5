import { join } from "node:path";
import { expect, test } from "vitest";
import { run, runOrThrow } from "../harness/process.ts";
import { record } from "./record.ts";

const root = join(import.meta.dirname, "..", "..");

test("the native tests pass with the address and undefined-behaviour sanitizers in the addon", async () => {
  await runOrThrow(["make", "-C", join(root, "src", "native"), "sanitized"], { timeoutMs: 600_000 });
  const library = async (name: string): Promise<string> => (await runOrThrow(["g++", `-print-file-name=${name}`])).trim();
  const result = await run([process.execPath, join(root, "node_modules", "vitest", "vitest.mjs"), "run", "--project", "native"], {
    timeoutMs: 1_200_000,
    environment: {
      NO_COLOR: "1",
      RACKBOOT_ADDON: join(root, "dist", "native-sanitized", "rackboot.node"),
      LD_PRELOAD: `${await library("libasan.so")}:${await library("libubsan.so")}`,
      // Node's own leaks are not ours to find, and it has a use of its own for SIGSEGV.
      ASAN_OPTIONS: "detect_leaks=0:handle_segv=0",
    },
  });
  const text = result.stdout + result.stderr;
  record("sanitized-native", { summary: text.match(/Tests\s+(.*)/)?.[1] ?? "none", exitCode: result.code });
  expect(text).not.toMatch(/AddressSanitizer:|runtime error:/);
  expect(result.code, text.slice(-3000)).toBe(0);
});
