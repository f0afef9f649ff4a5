import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { type BlsEntry, blsBoot, expandValue, MAX_BLS_BYTES, parseBlsEntry } from "../../../src/boot/disk/bls.ts";

function entry(text: string): BlsEntry {
  const parsed = parseBlsEntry("id", text);
  if ("reason" in parsed) throw new Error(parsed.reason);
  return parsed;
}

/** As RHEL 8's kernel-core writes it. */
const RHEL8 = `title Red Hat Enterprise Linux (4.18.0-553.el8_10.x86_64) 8.10 (Ootpa)
version 4.18.0-553.el8_10.x86_64
linux /vmlinuz-4.18.0-553.el8_10.x86_64
initrd /initramfs-4.18.0-553.el8_10.x86_64.img $tuned_initrd
options $kernelopts $tuned_params
id rhel-20240510105219-4.18.0-553.el8_10.x86_64
grub_users $grub_users
grub_arg --unrestricted
grub_class kernel
`;

test("RHEL 8's entry boots with kernelopts and without what is not set", () => {
  const variables = new Map([["kernelopts", "root=/dev/mapper/rhel-root ro rd.lvm.lv=rhel/root rhgb quiet "]]);
  expect(blsBoot(entry(RHEL8), variables)).toEqual({
    title: "Red Hat Enterprise Linux (4.18.0-553.el8_10.x86_64) 8.10 (Ootpa)",
    linux: "/vmlinuz-4.18.0-553.el8_10.x86_64",
    initrds: ["/initramfs-4.18.0-553.el8_10.x86_64.img"],
    arguments: "root=/dev/mapper/rhel-root ro rd.lvm.lv=rhel/root rhgb quiet",
  });
});

test("tuned's parameters and its initramfs are put in", () => {
  const variables = new Map([
    ["kernelopts", "root=UUID=1 ro"],
    ["tuned_params", "isolcpus=2-3 nohz=on"],
    ["tuned_initrd", "($root)/tuned-initrd.img"],
  ]);
  const boot = blsBoot(entry(RHEL8), variables);
  expect(boot.arguments).toBe("root=UUID=1 ro isolcpus=2-3 nohz=on");
  expect(boot.initrds).toEqual(["/initramfs-4.18.0-553.el8_10.x86_64.img", "/tuned-initrd.img"]);
});

test("RHEL 9's entry has its arguments itself", () => {
  const boot = blsBoot(entry('linux /vmlinuz-5\ninitrd /initramfs-5.img\noptions root=/dev/sda1 ro dyndbg="file x.c +p"\n'), new Map());
  expect(boot).toEqual({
    title: "/vmlinuz-5",
    linux: "/vmlinuz-5",
    initrds: ["/initramfs-5.img"],
    arguments: 'root=/dev/sda1 ro "dyndbg=file x.c +p"',
  });
});

test("several initrd lines and early_initrd are laid over each other in GRUB's order", () => {
  const boot = blsBoot(entry("linux /k\ninitrd /boot/a.img\ninitrd /boot/b.img\n"), new Map([["early_initrd", "ucode.cpio"]]));
  expect(boot.initrds).toEqual(["/boot/ucode.cpio", "/boot/a.img", "/boot/b.img"]);
});

test("without an options line default_kernelopts serves", () => {
  expect(blsBoot(entry("linux /k\n"), new Map([["default_kernelopts", "root=/dev/x ro"]])).arguments).toBe("root=/dev/x ro");
});

test("as in GRUB only the first options line counts, and an empty line ends the entry", () => {
  expect(blsBoot(entry("linux /k\noptions one=1\noptions two=2\n"), new Map()).arguments).toBe("one=1");
  expect(entry("linux /k\n\noptions one=1\n").options).toEqual([]);
});

test("every key of the format arrives", () => {
  const all = entry(
    "  title T x\nversion\t1\n# a comment\nlinux /k\r\ndevicetree /d.dtb\ngrub_users root\ngrub_arg --unrestricted\ngrub_arg --hotkey=a\ngrub_class a\ngrub_class b\n",
  );
  expect(all).toEqual({
    id: "id",
    title: "T x",
    version: "1",
    linux: "/k",
    initrds: [],
    options: [],
    devicetree: "/d.dtb",
    grubUsers: "root",
    grubArgs: ["--unrestricted", "--hotkey=a"],
    grubClasses: ["a", "b"],
  });
});

describe("what GRUB's own expansion makes of a value", () => {
  const variables = new Map([
    ["a", "1"],
    ["opts", "root=x ro"],
    ["tail", "quiet"],
  ]);
  test.each([
    ["$opts $tail", "root=x ro quiet "],
    ["$opts$tail", "root=x ro quiet "],
    ["one $opts two", "one root=x ro two"],
    ["$unset two", "two"],
    ["price=\\$opts x", "price=\\$opts x"],
    ["x=$opts", "x=root=x ro "],
    // A single character beside a variable is lost: so is it in GRUB.
    ["$opts 3", "root=x ro "],
    ["$", ""],
    ["", ""],
    ["plain", "plain"],
  ])("%s", (value, expected) => expect(expandValue(value, variables)).toBe(expected));
});

describe("an entry that cannot be booted has a reason", () => {
  test.each([
    ["", /no linux line/],
    ["title only\n", /no linux line/],
    ["linux\n", /no linux line/],
    ["x".repeat(MAX_BLS_BYTES + 1), /more than/],
  ])("%#", (text, reason) => {
    const parsed = parseBlsEntry("id", text);
    expect("reason" in parsed && parsed.reason).toMatch(reason);
  });
});

test("cut anywhere, RHEL's entry still gives an answer", () => {
  for (let length = 0; length <= RHEL8.length; length++) {
    const parsed = parseBlsEntry("id", RHEL8.slice(0, length));
    if (!("reason" in parsed)) blsBoot(parsed, new Map());
  }
});

test("whatever an entry holds, it is an answer and paths begin at the root", () => {
  const line = fc.tuple(fc.constantFrom("title", "linux", "initrd", "options", "devicetree", "#", ""), fc.string({ maxLength: 60 }));
  fc.assert(
    fc.property(
      fc.array(line, { maxLength: 12 }),
      fc.dictionary(fc.constantFrom("a", "root", "kernelopts"), fc.string()),
      (lines, values) => {
        const parsed = parseBlsEntry("id", lines.map(([key, value]) => `${key} ${value}`).join("\n"));
        if ("reason" in parsed) return;
        const boot = blsBoot(parsed, new Map(Object.entries(values)));
        for (const path of [boot.linux, ...boot.initrds]) expect(path.startsWith("/")).toBe(true);
      },
    ),
  );
});
