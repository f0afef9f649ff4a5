import fc from "fast-check";
import { expect, test } from "vitest";
import { ImageError } from "../../src/image/error.ts";
import { parseTreeInfo } from "../../src/image/treeinfo.ts";
import { treeinfo } from "./media.ts";

const SUM = "a".repeat(64);

test("a medium's own description says what it is, and which of its files boot", () => {
  const info = parseTreeInfo(
    treeinfo("8.10", "Red Hat Enterprise Linux", [`images/install.img = sha256:${SUM.toUpperCase()}`, "x = md5:00"]),
  );
  expect({ ...info, images: Object.fromEntries(info.images), checksums: Object.fromEntries(info.checksums) }).toEqual({
    system: "Red Hat Enterprise Linux",
    version: "8.10",
    arch: "x86_64",
    images: { "efiboot.img": "images/efiboot.img", initrd: "images/pxeboot/initrd.img", kernel: "images/pxeboot/vmlinuz" },
    checksums: { "images/install.img": SUM },
  });
});

test("one of the older form, with [general] only, is read as well", () => {
  const text =
    "[general]\r\nfamily = Rocky Linux\r\nversion = 8.4\r\narch = x86_64\r\n[images-x86_64]\r\nkernel = images/pxeboot/vmlinuz\r\n";
  expect(parseTreeInfo(text)).toMatchObject({ system: "Rocky Linux", version: "8.4" });
});

test.each([
  ["", "has no arch in [tree]"],
  ["[tree]\narch = x86_64\n", "has no name in [release]"],
  ["[tree]\narch = x86_64\n[release]\nname = RHEL\n", "has no version in [release]"],
  [treeinfo("9", "RHEL", [`../../etc/shadow = sha256:${SUM}`]), 'names "../../etc/shadow", which is no path inside of it'],
  [treeinfo("9", "RHEL", [`/etc/shadow = sha256:${SUM}`]), "no path inside"],
])("what is none is refused with what is missing (%#)", (text, reason) => {
  expect(() => parseTreeInfo(text)).toThrow(reason);
});

test("any text and any line lost is a description or a reason", () => {
  const lines = treeinfo("9.4", "Rocky Linux", [`images/install.img = sha256:${SUM}`]).split("\n");
  const cut = fc.array(fc.nat(lines.length - 1)).map((gone) => lines.filter((_, at) => !gone.includes(at)).join("\n"));
  fc.assert(
    fc.property(
      fc.oneof(
        cut,
        fc.string({ unit: "binary" }),
        fc.array(fc.stringMatching(/^[[\]a-z0-9_.=: ;/-]*$/)).map((all) => all.join("\n")),
      ),
      (text) => {
        try {
          for (const path of parseTreeInfo(text).images.values()) expect(path.split("/")).not.toContain("..");
        } catch (cause) {
          expect(cause).toBeInstanceOf(ImageError);
        }
      },
    ),
    { numRuns: 10_000 },
  );
}, 60_000);
