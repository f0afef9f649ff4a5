import { afterAll, beforeAll, describe, expect, test, vi } from "vitest";
import { decide } from "../../../src/boot/disk/decide.ts";
import type { DiskFindings } from "../../../src/boot/disk/disk-boot.ts";
import { findDiskBoot } from "../../../src/boot/disk/find.ts";
import { DiskSource } from "../../../src/boot/disk/source.ts";
import { openDisk } from "../../../src/volume/look/disk.ts";
import { ext4, gpt, MIB, readerPrograms, scratch, vfat, xfs } from "../../volume/look/images.ts";
import { ARGUMENTS, debianDisk, NEW, OLD, rhelDisk, seedDisk } from "./disks.ts";
import { blsFile, grubenv, MACHINE_ID, RHEL_GRUB_CFG, UUID } from "./examples.ts";

vi.setConfig({ testTimeout: 60_000, hookTimeout: 60_000 });

const programs = readerPrograms();
const place = scratch();
afterAll(() => place.remove());

async function find(image: string): Promise<DiskFindings> {
  const look = await openDisk(image, { programs });
  try {
    return await findDiskBoot(look);
  } finally {
    await look.close();
  }
}

function titleOf(findings: DiskFindings, used?: string): string | undefined {
  return decide(findings, used)?.entry.title;
}

const title = (version: string): string => `Red Hat Enterprise Linux (${version}) 9.4 (Plow)`;

describe("a disk as RHEL installs it: ESP, xfs /boot, root on LVM, one terabyte", () => {
  let disk = "";
  let findings: DiskFindings;
  beforeAll(async () => {
    disk = await rhelDisk(place.path, "rhel");
    const started = performance.now();
    findings = await find(disk);
    const elapsedMs = performance.now() - started;
    console.log(`cold look: ${Math.round(elapsedMs)} ms`);
  });

  test("the newest kernel is the default, the rescue one the last", () => {
    expect(findings.notes).toEqual([]);
    expect(findings.entries.map((entry) => entry.title)).toEqual([title(NEW), title(OLD), title(`0-rescue-${MACHINE_ID}`)]);
    expect(decide(findings)).toMatchObject({ index: 0, because: "first" });
    expect(findings.entries[0]).toEqual({
      id: `${MACHINE_ID}-${NEW}`,
      title: title(NEW),
      kernel: { device: "loop0,gpt2", path: `/vmlinuz-${NEW}`, sizeBytes: `kernel ${NEW}`.length },
      initrds: [{ device: "loop0,gpt2", path: `/initramfs-${NEW}.img`, sizeBytes: 5 * MIB }],
      arguments: `${ARGUMENTS} isolcpus=3`,
    });
  });

  test("its loader is its own shim and GRUB, and that GRUB can go on from the network", () => {
    expect(findings.loaders[0]).toMatchObject({
      vendor: "redhat",
      architecture: "x64",
      shim: { device: "loop0,gpt1", path: "/efi/redhat/shimx64.efi" },
      grub: { path: "/efi/redhat/grubx64.efi" },
      grubTraits: { network: true, http: true, shim: false, debian: false },
    });
    expect(findings.loaders[0]?.files.map((file) => file.path)).toContain("/efi/redhat/mmx64.efi");
  });

  test("the initramfs that the machine asks for is the one on its disk", async () => {
    const [asked] = findings.entries[0]?.initrds ?? [];
    if (asked === undefined) throw new Error("the first entry has no initramfs");
    const source = new DiskSource(await openDisk(disk, { programs }), asked);
    const expected = Buffer.alloc(5 * MIB, NEW);
    expect(source.peek(0, 1)).toBeUndefined();
    for (const [offset, length] of [
      [0, 1000],
      [4 * MIB - 10, 20],
      [5 * MIB - 5, 100],
    ] as const) {
      expect(Buffer.concat(await source.read(offset, length)).equals(expected.subarray(offset, offset + length))).toBe(true);
    }
    expect(Buffer.concat(source.peek(10, 10) ?? []).equals(expected.subarray(10, 20))).toBe(true);
    source.release();
    await expect(source.read(0, 10)).rejects.toThrow();
  });
});

test("a saved entry and a one-time entry are what this disk boots", async () => {
  const findings = await find(
    await rhelDisk(place.path, "saved", { saved_entry: `${MACHINE_ID}-${OLD}`, next_entry: `${MACHINE_ID}-0-rescue` }),
  );
  const first = decide(findings);
  expect(first?.entry.title).toBe(title(`0-rescue-${MACHINE_ID}`));
  expect(first?.nextEntry?.value).toBe(`${MACHINE_ID}-0-rescue`);
  expect(titleOf(findings, first?.nextEntry?.key)).toBe(title(OLD));
});

test("the seed's disk: no partitions, /boot copied into the root file system", async () => {
  const findings = await find(seedDisk(place.path, "seed"));
  expect(findings.entries.map((entry) => entry.kernel.path)).toEqual([
    `/boot/vmlinuz-${NEW}`,
    `/boot/vmlinuz-${OLD}`,
    `/boot/vmlinuz-0-rescue-${MACHINE_ID}`,
  ]);
  expect(findings.entries[0]?.kernel.device).toBe("loop0");
  expect(titleOf(findings)).toBe(title(NEW));
});

test("RHEL 8 on UEFI: grub.cfg and grubenv on the ESP, the arguments in kernelopts", async () => {
  const esp = vfat(place.path("rhel8.esp"), {
    "EFI/redhat/grub.cfg": RHEL_GRUB_CFG,
    "EFI/redhat/grubenv": grubenv({ saved_entry: "1", kernelopts: "root=UUID=of-grubenv ro " }),
    "EFI/redhat/grubx64.efi": "MZ",
  });
  const boot = xfs(
    place.path("rhel8.boot"),
    Object.fromEntries(
      ["4.18.0-1", "4.18.0-2"].flatMap((version) => [
        [`loader/entries/${MACHINE_ID}-${version}.conf`, blsFile(version, "$kernelopts $tuned_params")],
        [`vmlinuz-${version}`, "k"],
        [`initramfs-${version}.img`, "i"],
      ]),
    ),
    { uuid: UUID.boot },
  );
  const findings = await find(
    await gpt(place.path("rhel8"), 512 * MIB, [
      { image: esp, sizeBytes: 64 * MIB, type: "esp" },
      { image: boot, sizeBytes: 320 * MIB, type: "linux" },
    ]),
  );
  expect(decide(findings)).toMatchObject({
    index: 1,
    because: "named",
    entry: { title: title("4.18.0-1"), arguments: "root=UUID=of-grubenv ro isolcpus=3" },
  });
});

test("a unified kernel image on the ESP is found", async () => {
  const esp = vfat(place.path("uki.esp"), { "EFI/Linux/rhel-5.14.efi": "MZ uki" });
  const findings = await find(await gpt(place.path("uki"), 128 * MIB, [{ image: esp, sizeBytes: 64 * MIB, type: "esp" }]));
  expect(findings.unifiedKernels).toMatchObject([{ device: "loop0,gpt1", sizeBytes: 6 }]);
});

test("where a system boots by its unified kernel image, the kernel that it was made of is not offered in its place", async () => {
  const esp = vfat(place.path("uki-root.esp"), { "EFI/Linux/debian-6.1.efi": "MZ uki" });
  const root = ext4(place.path("uki-root.root"), { "etc/x": "", "usr/x": "", "boot/vmlinuz-6.1": "k", "boot/initrd.img-6.1": "i" });
  const disk = await gpt(place.path("uki-root"), 160 * MIB, [
    { image: esp, sizeBytes: 64 * MIB, type: "esp" },
    { image: root, sizeBytes: 64 * MIB, type: "linux" },
  ]);
  expect(await find(disk)).toMatchObject({ entries: [], notes: [], unifiedKernels: [{ device: "loop0,gpt1", sizeBytes: 6 }] });
});

test("what a disk calls its entries cannot play with a terminal", async () => {
  const findings = await find(
    ext4(place.path("esc"), { "loader/entries/a-1-1.conf": "title \u001b[2Jboo\u0007\nlinux /k\noptions a\u001bb\n", k: "k" }),
  );
  expect(findings.entries).toMatchObject([{ title: "?[2Jboo?", arguments: "a b" }]);
});

test("Debian's disk: its menu with submenu, and its GRUB that has no network", async () => {
  const findings = await find(await debianDisk(place.path, "debian"));
  expect(findings.entries.map((entry) => entry.title)).toEqual([
    "Debian GNU/Linux",
    "Debian GNU/Linux, with Linux 6.1.0-30-amd64",
    "Debian GNU/Linux, with Linux 6.1.0-30-amd64 (recovery mode)",
    "Debian GNU/Linux, with Linux 6.1.0-25-amd64",
    "Debian GNU/Linux, with Linux 6.1.0-25-amd64 (recovery mode)",
  ]);
  expect(decide(findings)?.entry).toMatchObject({
    kernel: { device: "loop0,gpt2", path: "/boot/vmlinuz-6.1.0-30-amd64" },
    arguments: `root=UUID=${UUID.root} ro quiet`,
  });
  expect(findings.loaders[0]).toMatchObject({ vendor: "debian", grubTraits: { network: false, debian: true } });
});

test("Debian's default in a submenu is found", async () => {
  const wanted = `gnulinux-advanced-${UUID.root}>gnulinux-6.1.0-25-amd64-advanced-${UUID.root}`;
  expect(titleOf(await find(await debianDisk(place.path, "debian-old", wanted)))).toBe("Debian GNU/Linux, with Linux 6.1.0-25-amd64");
});

test("kernels without any boot loader are offered all the same, newest first", async () => {
  const image = ext4(
    place.path("bare"),
    {
      "etc/x": "",
      "usr/x": "",
      "boot/vmlinuz-6.1.0-9": "k",
      "boot/initrd.img-6.1.0-9": "i",
      "boot/vmlinuz-6.1.0-30": "k",
      "boot/initrd.img-6.1.0-30": "i",
      "boot/vmlinuz-7.0": "no initramfs",
    },
    { uuid: UUID.root },
  );
  const findings = await find(image);
  expect(findings.entries.map((entry) => [entry.title, entry.arguments])).toEqual([
    ["Linux 6.1.0-30", `root=UUID=${UUID.root} ro`],
    ["Linux 6.1.0-9", `root=UUID=${UUID.root} ro`],
  ]);
  expect(findings.notes.join()).toContain("no boot loader's configuration");
});

test("entries of a disk without grub.cfg are read, as systemd-boot leaves them on the ESP", async () => {
  const esp = vfat(place.path("sd.esp"), {
    "loader/entries/a-1.0-1.conf": "title One\nlinux /a/linux\ninitrd /a/initrd\noptions root=/dev/sda2 rw\n",
    "a/linux": "k",
    "a/initrd": "i",
  });
  const findings = await find(await gpt(place.path("sd"), 128 * MIB, [{ image: esp, sizeBytes: 64 * MIB, type: "esp" }]));
  expect(findings.entries).toMatchObject([{ id: "a-1.0-1", title: "One", kernel: { path: "/a/linux" }, arguments: "root=/dev/sda2 rw" }]);
});

test("an entry whose kernel is gone is left out with the reason, and the next one takes its place", async () => {
  const findings = await find(
    ext4(place.path("gone"), {
      "loader/entries/m-2-1.conf": blsFile("2-1", "ro"),
      "loader/entries/m-1-1.conf": blsFile("1-1", "ro"),
      "vmlinuz-1-1": "k",
      "initramfs-1-1.img": "i",
      "loader/entries/broken.conf": "title x\n",
    }),
  );
  expect(titleOf(findings)).toBe(title("1-1"));
  expect(decide(findings)?.note).toContain(title("2-1"));
  expect(findings.notes.join("\n")).toMatch(/its \/vmlinuz-2-1 is not on the disk without partitions/);
  expect(findings.notes.join("\n")).toMatch(/broken\.conf has no linux line/);
});

describe("where nothing can be booted, a person learns what was looked for and where", () => {
  test("an empty disk", async () => {
    const { entries, notes } = await find(await gpt(place.path("empty"), 64 * MIB, []));
    expect(entries).toEqual([]);
    expect(notes.join()).toMatch(/no partition table .* and no file system/);
  });
  test("a data disk", async () => {
    const { entries, notes } = await find(ext4(place.path("data"), { "music/x": "" }));
    expect(entries).toEqual([]);
    expect(notes.join()).toMatch(/looked for loader\/entries.*in \/boot of the disk without partitions \(ext4\): none was there/);
  });
  test("a stub whose /boot is elsewhere", async () => {
    const esp = vfat(place.path("lost.esp"), {
      "EFI/redhat/grub.cfg": `search --fs-uuid --set=dev ${UUID.boot}\nset prefix=($dev)/grub2\nconfigfile $prefix/grub.cfg\n`,
    });
    const { notes } = await find(await gpt(place.path("lost"), 128 * MIB, [{ image: esp, sizeBytes: 64 * MIB, type: "esp" }]));
    expect(notes.join()).toContain(`the file system ${UUID.boot}, which is not on this disk`);
  });
});
