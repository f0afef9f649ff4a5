import { describe, expect, test } from "vitest";
import { type ChoiceInput, chooseDefault, findItem, type MenuItem } from "../../../src/boot/disk/choose.ts";
import { nextEntryKey } from "../../../src/boot/disk/grubenv.ts";

const MENU: readonly MenuItem[] = [
  { id: "m-4.18.0-553", title: "RHEL (4.18.0-553) 8.10 (Ootpa)" },
  { id: "m-4.18.0-513", title: "RHEL (4.18.0-513) 8.9 (Ootpa)" },
  { id: "m-0-rescue", title: "RHEL (0-rescue) 8.9 (Ootpa)" },
];
const DEBIAN: readonly MenuItem[] = [
  { id: "gnulinux-simple-u", title: "Debian GNU/Linux" },
  {
    id: "gnulinux-advanced-u",
    title: "Advanced options for Debian GNU/Linux",
    children: [
      { id: "gnulinux-6.1.0-30", title: "Debian, with Linux 6.1.0-30" },
      { id: "gnulinux-6.1.0-25", title: "Debian, with Linux 6.1.0-25" },
    ],
  },
  { id: "uefi-firmware", title: "UEFI Firmware Settings" },
];

function choose(variables: Record<string, string>, more: Partial<ChoiceInput> = {}): ReturnType<typeof chooseDefault> {
  return chooseDefault({ menu: MENU, variables: new Map(Object.entries(variables)), ...more });
}

describe("the default is the one that GRUB would take", () => {
  test("nothing saved: the newest", () => expect(choose({})).toEqual({ path: [0], because: "first" }));
  test("saved by identifier", () => expect(choose({ saved_entry: "m-4.18.0-513" })).toEqual({ path: [1], because: "named" }));
  test("saved by title", () => expect(choose({ saved_entry: "RHEL (0-rescue) 8.9 (Ootpa)" }).path).toEqual([2]));
  test("saved by number, also octal and hexadecimal", () => {
    for (const two of ["2", "0x2", "02", " 2"]) expect(choose({ saved_entry: two }).path).toEqual([2]);
  });
  test("saved, but the kernel was removed: the newest", () =>
    expect(choose({ saved_entry: "m-4.17" })).toEqual({ path: [0], because: "first" }));
  test("a number beyond the menu: the first", () => expect(choose({ saved_entry: "7" })).toEqual({ path: [0], because: "first" }));
  test("grub.cfg names one itself", () => expect(choose({ saved_entry: "m-0-rescue" }, { configured: "1" }).path).toEqual([1]));
});

describe("next_entry counts once", () => {
  const variables = { saved_entry: "m-4.18.0-513", next_entry: "m-0-rescue", boot_success: "0" };
  const key = nextEntryKey(new Map(Object.entries(variables)));
  test("first it is served, and said so", () => {
    expect(choose(variables)).toEqual({ path: [2], because: "next-entry", nextEntry: { value: "m-0-rescue", key } });
  });
  test("then it is not, although the disk still holds it", () => {
    expect(choose(variables, { usedNextEntry: key })).toEqual({ path: [1], because: "named" });
    expect(choose({ ...variables, boot_success: "1" }, { usedNextEntry: key }).because).toBe("named");
  });
  test("asking for another one counts again", () => {
    expect(choose({ ...variables, next_entry: "0" }, { usedNextEntry: key }).path).toEqual([0]);
  });
  test("one that is not there is used up all the same", () => {
    expect(choose({ next_entry: "gone" })).toMatchObject({ path: [0], because: "first", nextEntry: { value: "gone" } });
  });
});

describe("submenus, as Debian has them", () => {
  test("identifiers with > go down", () => expect(findItem(DEBIAN, "gnulinux-advanced-u>gnulinux-6.1.0-25")).toEqual([1, 1]));
  test("so do numbers and titles", () => {
    expect(findItem(DEBIAN, "1>1")).toEqual([1, 1]);
    expect(findItem(DEBIAN, "Advanced options for Debian GNU/Linux>Debian, with Linux 6.1.0-25")).toEqual([1, 1]);
  });
  test("a submenu alone starts its first entry", () => {
    expect(chooseDefault({ menu: DEBIAN, variables: new Map(), configured: "1" }).path).toEqual([1, 0]);
  });
  test(">> is the character", () => expect(findItem([{ title: "a>b" }], "a>>b")).toEqual([0]));
});

test("an empty menu is no accident", () =>
  expect(chooseDefault({ menu: [], variables: new Map() })).toEqual({ path: [0], because: "first" }));
