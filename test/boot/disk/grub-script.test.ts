import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { lastAssigned, readGrubScript, reference, type ScriptNode } from "../../../src/boot/disk/grub-script.ts";
import { scriptWords } from "../../../src/boot/disk/grub-words.ts";
import { DEBIAN_STUB, debianGrubCfg, RHEL_GRUB_CFG, RHEL_STUB, UUID } from "./examples.ts";

const NONE = new Map<string, string>();

describe("words, as GRUB's script language parts them", () => {
  const variables = new Map([
    ["one", "1"],
    ["several", "a b  c"],
    ["empty", ""],
  ]);
  test.each<[string, readonly string[]]>([
    ["linux /k root=x ro", ["linux", "/k", "root=x", "ro"]],
    ["a 'b c' \"d e\" f\\ g", ["a", "b c", "d e", "f g"]],
    ["x'y'\"z\"", ["xyz"]],
    ["a # comment", ["a"]],
    ["a#b", ["a#b"]],
    ["a; b", ["a"]],
    [`$one ${reference("one")}$one x$one`, ["1", "11", "x1"]],
    ["$several", ["a", "b", "c"]],
    ["x$several", ["xa", "b", "c"]],
    ['"$several"', ["a b  c"]],
    ["$empty $unset x", ["x"]],
    ['"$empty"', [""]],
    ["'$one' \\$one", ["$one", "$one"]],
    ['"\\$one \\" \\x"', ['$one " \\x']],
    ["'not closed", ["not closed"]],
    ["", []],
  ])("%s", (text, words) => expect(scriptWords(text, variables)).toEqual(words));
});

test("RHEL's stub on the ESP says where to go on", () => {
  expect(readGrubScript(RHEL_STUB, NONE)).toMatchObject({ fsUuid: UUID.boot, configfile: "/grub2/grub.cfg", menu: [], blscfg: false });
});

test("so does Debian's", () => {
  expect(readGrubScript(DEBIAN_STUB, NONE)).toMatchObject({ fsUuid: UUID.root, configfile: "/boot/grub/grub.cfg" });
});

test("RHEL's grub.cfg hands over to the entries, with its defaults", () => {
  const script = readGrubScript(RHEL_GRUB_CFG, NONE);
  expect(script).toMatchObject({ blscfg: true, fsUuid: UUID.boot });
  expect(script.menu).toEqual([{ kind: "entry", id: "uefi-firmware", title: "UEFI Firmware Settings", arguments: "", initrds: [] }]);
  expect(lastAssigned(script, "default")).toBe(reference("saved_entry"));
  expect(lastAssigned(script, "kernelopts")).toBe("root=/dev/mapper/rhel-root ro crashkernel=auto rd.lvm.lv=rhel/root ");
  expect(lastAssigned(script, "tuned_params")).toBe("isolcpus=3");
});

test("Debian's menu is read with its submenu, its kernels and their arguments", () => {
  const script = readGrubScript(debianGrubCfg(["6.1.0-30-amd64", "6.1.0-25-amd64"]), NONE);
  expect(script.blscfg).toBe(false);
  expect(lastAssigned(script, "default")).toBe("0");
  expect(script.menu[0]).toEqual({
    kind: "entry",
    id: `gnulinux-simple-${UUID.root}`,
    title: "Debian GNU/Linux",
    linux: "/boot/vmlinuz-6.1.0-30-amd64",
    arguments: `root=UUID=${UUID.root} ro quiet`,
    initrds: ["/boot/initrd.img-6.1.0-30-amd64"],
    fsUuid: UUID.root,
  });
  const submenu = script.menu[1];
  expect(submenu?.kind === "submenu" && submenu.children.map((node) => node.title)).toEqual([
    "Debian GNU/Linux, with Linux 6.1.0-30-amd64",
    "Debian GNU/Linux, with Linux 6.1.0-30-amd64 (recovery mode)",
    "Debian GNU/Linux, with Linux 6.1.0-25-amd64",
    "Debian GNU/Linux, with Linux 6.1.0-25-amd64 (recovery mode)",
  ]);
  expect(script.menu[2]?.title).toBe("UEFI Firmware Settings");
});

test("RHEL 7's linuxefi and linux16 are kernels too", () => {
  const script = readGrubScript("menuentry 'a' { linuxefi /k x=1\n initrdefi /i }\nmenuentry b { linux16 /k2; initrd16 /i2; }\n", NONE);
  expect(script.menu.map((node: ScriptNode) => node.kind === "entry" && [node.linux, node.arguments, node.initrds])).toEqual([
    ["/k", "x=1", ["/i"]],
    ["/k2", "", ["/i2"]],
  ]);
});

test("cut anywhere, a grub.cfg still gives an answer", () => {
  const text = debianGrubCfg(["6.1.0-30-amd64"]);
  for (let length = 0; length < text.length; length += 7) readGrubScript(text.slice(0, length), NONE);
});

test("whatever a grub.cfg holds, reading it ends", () => {
  const piece = fc.constantFrom(
    "menuentry",
    "submenu",
    "'",
    '"',
    "{",
    "}",
    "\n",
    ";",
    " ",
    "$x",
    "${",
    "\\",
    "#",
    "set",
    "a=b",
    "if",
    "linux /k",
    "search --fs-uuid 1234-5678",
  );
  fc.assert(fc.property(fc.array(piece, { maxLength: 80 }), (pieces) => void readGrubScript(pieces.join(""), NONE)));
  readGrubScript("{".repeat(100_000), NONE);
  readGrubScript(`menuentry '${"a".repeat(400_000)}' {`, NONE);
  readGrubScript('"'.concat("\\a".repeat(200_000)), NONE);
  readGrubScript("submenu x {\n".repeat(30_000), NONE);
});
