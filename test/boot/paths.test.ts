import fc from "fast-check";
import { expect, test } from "vitest";
import { normalPath, pathOfTarget } from "../../src/boot/paths.ts";

test.each([
  ["uqbar/vmlinuz", "uqbar/vmlinuz"],
  ["/uqbar/vmlinuz", "uqbar/vmlinuz"],
  ["//uqbar///vmlinuz", "uqbar/vmlinuz"],
  ["\\EFI\\redhat\\grub.cfg", "EFI/redhat/grub.cfg"],
  ["/EFI\\/boot/./grubx64.efi", "EFI/boot/grubx64.efi"],
  ["/a/../b", "b"],
  // TFTP knows no escapes, and HTTP's were decoded before.
  ["/%2e%2e/etc/passwd", "%2e%2e/etc/passwd"],
])("%s is the path %s", (path, expected) => {
  expect(normalPath(path)).toEqual({ segments: expected.split("/") });
});

test.each(["", "/", "//", ".", "..", "../etc/passwd", "/a/../../etc/passwd", "\\..\\..\\etc", "a\0b", "grub.cfg\n", "x".repeat(2000)])(
  "%j is no path",
  (path) => {
    expect(normalPath(path)).toEqual({ reason: expect.any(String) });
  },
);

test("no spelling of a path gets above the root", () => {
  const piece = fc.constantFrom("..", ".", "/", "\\", "a", "", "%2e%2e", "%2f", "%5c", "etc", "\0");
  fc.assert(
    fc.property(fc.array(piece, { maxLength: 20 }), fc.boolean(), (pieces, decode) => {
      const path = decode ? pathOfTarget(`/${pieces.join("")}`) : pieces.join("/");
      const normal = path === undefined ? { reason: "" } : normalPath(path);
      if ("segments" in normal) {
        for (const segment of normal.segments) expect(segment).not.toMatch(/^\.{0,2}$|[/\\\0]/);
      }
    }),
    { numRuns: 10_000 },
  );
});

test.each([
  ["/uqbar/vmlinuz", "/uqbar/vmlinuz"],
  ["/uqbar/boot.ipxe?mac=1#x", "/uqbar/boot.ipxe"],
  ["/%2e%2e/%2E%2E/etc", "/../../etc"],
  ["/a%5cb", "/a\\b"],
  ["/a%00b", "/a\0b"],
  ["/%252e%252e/x", "/%2e%2e/x"],
  ["http://172.16.0.1:8080/a/b?c", "/a/b"],
  ["http://172.16.0.1", "/"],
])("the target %s is decoded once, to %j", (target, path) => {
  expect(pathOfTarget(target)).toBe(path);
});

test.each(["*", "/%zz", "/%ff", "/%", "host:443", ""])("the target %j is no path", (target) => {
  expect(pathOfTarget(target)).toBeUndefined();
});
