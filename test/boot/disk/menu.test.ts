import { spawnSync } from "node:child_process";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import type { DiskEntry, DiskFindings } from "../../../src/boot/disk/disk-boot.ts";
import { diskPlan } from "../../../src/boot/disk/disk-plan.ts";
import { readGrubScript } from "../../../src/boot/disk/grub-script.ts";
import { NO_MEMORY, settle } from "../../../src/boot/disk/memory.ts";
import type { ServerFacts } from "../../../src/boot/facts.ts";
import { grubConfig } from "../../../src/boot/grub-config.ts";
import { parseIpv4, parseIqn, parseMac, parseMachineName, parseVolumeName } from "../../../src/machine/identifiers.ts";
import type { Machine } from "../../../src/machine/machine.ts";

const FACTS: ServerFacts = {
  address: parseIpv4("172.16.0.1"),
  tftpPort: 69,
  httpPort: 80,
  portals: [parseIpv4("172.16.0.1")],
  iscsiPort: 3260,
};
const UQBAR: Machine = {
  name: parseMachineName("uqbar"),
  macs: [parseMac("52:54:00:16:00:10")],
  initiators: [parseIqn("iqn.1994-05.com.redhat:uqbar")],
  anyInitiator: false,
  target: parseIqn("iqn.2022-07.san.iscsi:uqbar"),
  disks: [parseVolumeName("uqbar-root")],
  chap: false,
  arguments: "console=ttyS0",
  boot: { kind: "disk", via: "loader" },
  ephemeral: false,
  hostname: "uqbar",
};

function entry(title: string, line: string, initrds = 1): DiskEntry {
  const file = (path: string): DiskEntry["kernel"] => ({ device: "loop0", path, sizeBytes: 1 });
  return { id: `id ${title}`, title, kernel: file("/k"), initrds: Array.from({ length: initrds }, () => file("/i")), arguments: line };
}

function findings(entries: readonly DiskEntry[], saved = "0", notes: readonly string[] = []): DiskFindings {
  return {
    entries,
    menu: entries.map((each, index) => ({ id: each.id, title: each.title, entry: index })),
    variables: new Map([["saved_entry", saved]]),
    loaders: [],
    unifiedKernels: [],
    notes,
  };
}

function menuOf(disk: DiskFindings): string {
  const plan = diskPlan(disk, settle(disk, NO_MEMORY), ({ path }) => ({ kind: "path", path }));
  return grubConfig(UQBAR, plan, FACTS, { http: true });
}

/** GRUB's own parser. */
function syntaxErrors(script: string): string {
  const { status, stderr } = spawnSync("grub-script-check", { input: script });
  return status === 0 ? "" : `${stderr}\n${script}`;
}

describe("the machine gets the disk's own menu", () => {
  const disk = findings(
    [
      entry("new", "root=/dev/x ro"),
      entry("old", "root=/dev/x ro ip=ens3:dhcp netroot=iscsi:10.0.0.1::::iqn.x", 2),
      entry("no initramfs", "", 0),
    ],
    "1",
  );
  const menu = menuOf(disk);

  test("every entry in its order, the same default", () => {
    expect(readGrubScript(menu, new Map()).menu.map((node) => node.title)).toEqual(["new", "old", "no initramfs"]);
    expect(menu).toContain("set default=1\n");
  });
  test("with what its initramfs needs to find the disk, where that is missing", () => {
    const [first, second] = menu.split("\n").filter((line) => line.includes("if linux"));
    expect(first).toContain(
      "netroot=iscsi:172.16.0.1::3260::iqn.2022-07.san.iscsi:uqbar rd.iscsi.initiator=iqn.1994-05.com.redhat:uqbar ip=dhcp",
    );
    expect(second).toContain("ip=ens3:dhcp netroot=iscsi:10.0.0.1::::iqn.x console=ttyS0 rd.iscsi.initiator=iqn.1994-05.com.redhat:uqbar;");
  });
  test("and files by names that the resolver answers", () => {
    expect(menu).toContain("if linux $server/uqbar/entry/1/vmlinuz ");
    expect(menu).toContain("if initrd $server/uqbar/entry/1/initrd-0 $server/uqbar/entry/1/initrd-1; then");
  });
  test("GRUB understands it", () => expect(syntaxErrors(menu)).toBe(""));
});

test("a system that was installed by firmware with iSCSI of its own does not wait for that firmware's table", () => {
  const menu = menuOf(findings([entry("installed", "root=/dev/x rd.iscsi.firmware=1 ip=ibft rd.iscsi.ibft=1 quiet")]));
  expect(menu).toContain(" root=/dev/x quiet console=ttyS0 netroot=iscsi:172.16.0.1::3260::");
  expect(menu).toContain("ip=dhcp");
  expect(menu).not.toMatch(/ibft|firmware/);
});

test("where the disk has nothing, the screen says what was looked for", () => {
  const menu = menuOf(findings([], "0", ['looked for loader/entries on partition 1 (xfs "boot"): it\'s not there']));
  expect(menu).toContain("nothing on the first disk can be booted");
  expect(menu).toContain("looked for loader/entries");
  expect(syntaxErrors(menu)).toBe("");
});

test("nothing that a disk holds is read as GRUB's language", () => {
  const hostile = fc.string({
    unit: fc.constantFrom("a", "'", '"', "\\", "$", "{", "}", ";", "\n", "`", " ", "#", "&", "|", "(", "\u00e9"),
    maxLength: 24,
  });
  fc.assert(
    fc.property(
      fc.array(fc.tuple(hostile, hostile), { minLength: 1, maxLength: 3 }),
      fc.array(hostile, { maxLength: 3 }),
      (entries, notes) => {
        const menu = menuOf(
          findings(
            entries.map(([title, line]) => entry(title, line)),
            "0",
            notes,
          ),
        );
        expect(readGrubScript(menu, new Map()).menu).toHaveLength(entries.length);
        expect(syntaxErrors(menu)).toBe("");
      },
    ),
    { numRuns: 60 },
  );
});
