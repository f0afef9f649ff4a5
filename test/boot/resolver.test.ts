import { mkdirSync, readFileSync, renameSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import fc from "fast-check";
import { beforeEach, describe, expect, test } from "vitest";
import type { FileClient } from "../../src/boot/files.ts";
import { bytesSource } from "../../src/boot/open-files.ts";
import { type BootPlan, type FileOrigin, nothing } from "../../src/boot/plan.ts";
import { BootResolver } from "../../src/boot/resolver.ts";
import { parseIpv4, parseMac } from "../../src/machine/identifiers.ts";
import type { Machine } from "../../src/machine/machine.ts";
import { FACTS, folderWith, kernelBoot, machine, UQBAR_ADDRESS } from "./support.ts";

let folder: string;
let resolver: BootResolver;
let uqbar: Machine;
let tlon: Machine;
let diskPlan: BootPlan;

beforeEach(() => {
  diskPlan = nothing("nothing on the first disk can be booted:", ["there is no partition table"]);
  folder = folderWith({
    "loaders/shimx64.efi.signed": "UEFI shim,shim",
    "loaders/grubx64.efi": "GRUB with network: blksize",
    "loaders/mmx64.efi": "unsigned MokManager",
    "loaders/mmx64.efi.signed": "MokManager",
    "loaders/REVOCATIONS_SKU.EFI": "revocations",
    "loaders/x86_64-efi/http.mod": "http",
    "loaders/secret.key": "secret",
    "kernels/vmlinuz-6.1": "uqbar's kernel",
    "kernels/initrd-6.1.img": "uqbar's initramfs",
    "tlon/vmlinuz-6.2": "tlon's kernel",
    "tlon/initrd-6.2.img": "tlon's initramfs",
    "root/common/memtest.efi": "memtest",
    "root/.hidden": "hidden, and served",
    "outside/secret": "secret",
  });
  const loader = join(folder, "loaders/shimx64.efi.signed");
  uqbar = machine("uqbar", {
    boot: kernelBoot({ kernel: join(folder, "kernels/vmlinuz-6.1"), initrd: join(folder, "kernels/initrd-6.1.img"), loader }),
  });
  tlon = machine("tlon", {
    macs: [parseMac("52:54:00:16:00:20")],
    address: parseIpv4("172.16.0.32"),
    boot: kernelBoot({ kernel: join(folder, "tlon/vmlinuz-6.2"), initrd: join(folder, "tlon/initrd-6.2.img"), loader }),
  });
  resolver = new BootResolver({
    facts: FACTS,
    loaders: { usual: new Map(), ipxe: new Map() },
    root: join(folder, "root"),
    isMachine: (name) => name === "uqbar" || name === "tlon",
    diskPlan: async () => diskPlan,
  });
});

function client(of: Machine | undefined): FileClient {
  return { address: of?.address ?? UQBAR_ADDRESS, transport: "tftp", ...(of === undefined ? {} : { machine: of }) };
}

/** What the client gets: the text, or undefined for not found. */
async function read(of: Machine | undefined, path: string): Promise<string | undefined> {
  const found = await resolver.resolve(client(of), path);
  if (found.kind === "not-found") {
    expect(found.reason).not.toBe("");
    return undefined;
  }
  if (found.kind === "bytes") return new TextDecoder().decode(found.bytes);
  if (found.kind === "disk") {
    const source = await found.open();
    return new TextDecoder().decode(Buffer.concat(await source.read(0, source.sizeBytes)));
  }
  const text = readFileSync(found.path, "latin1");
  expect(found.sizeBytes).toBe(text.length);
  return text;
}

describe("a machine gets its own", () => {
  test.each(["uqbar/vmlinuz", "/uqbar/vmlinuz", "\\uqbar\\vmlinuz", "//uqbar//vmlinuz", "uqbar/vmlinuz-6.1", "/vmlinuz-6.1", "vmlinuz"])(
    "kernel as %s",
    async (path) => {
      expect(await read(uqbar, path)).toBe("uqbar's kernel");
    },
  );

  test.each(["uqbar/initrd", "/uqbar/initrd-6.1.img", "initrd"])("initramfs as %s", async (path) => {
    expect(await read(uqbar, path)).toBe("uqbar's initramfs");
  });

  test.each(["uqbar/shimx64.efi", "shimx64.efi", "/EFI/BOOT/SHIMX64.EFI", "a/b/shimx64.efi.signed"])("loader as %s", async (path) => {
    expect(await read(uqbar, path)).toBe("UEFI shim,shim");
  });

  test.each([
    ["grubx64.efi", "GRUB with network: blksize"],
    ["uqbar/grubx64.efi", "GRUB with network: blksize"],
    ["uqbar//grubx64.efi", "GRUB with network: blksize"],
    ["\\EFI\\redhat\\grubx64.efi", "GRUB with network: blksize"],
    ["mmx64.efi", "MokManager"],
    ["revocations_sku.efi", "revocations"],
    ["/grub/x86_64-efi/http.mod", "http"],
  ])("loader's companion %s", async (path, content) => {
    expect(await read(uqbar, path)).toBe(content);
  });

  test.each([
    "grub.cfg",
    "/grub/grub.cfg",
    "/boot/grub/grub.cfg",
    "/boot/grub2/grub.cfg",
    "uqbar/grub.cfg",
    "/EFI/redhat/grub.cfg",
    "/EFI/debian/grub.cfg",
    "\\EFI\\BOOT\\GRUB.CFG",
    "/debian-installer/amd64/grub/grub.cfg",
    "/grub/x86_64-efi/grub.cfg",
    "/grub/grub.cfg-01-52-54-00-16-00-10",
    "uqbar/GRUB.CFG-01-52-54-00-16-00-10",
    ..."AC100010".split("").map((_, index) => `/grub/grub.cfg-${"AC100010".slice(0, index + 1)}`),
    "/grub/grub.cfg-ac100010",
    "/grub/grub.cfg-4c4c4544-0042-3010-8054-b4c04f303632",
  ])("grub.cfg as %s", async (path) => {
    expect(await read(uqbar, path)).toContain("linux $server/uqbar/vmlinuz");
  });

  test.each(["uqbar/boot.ipxe", "/boot.ipxe"])("iPXE script as %s", async (path) => {
    expect(await read(uqbar, path)).toMatch(/^#!ipxe\n/);
  });

  test.each([
    "pxelinux.cfg/01-52-54-00-16-00-10",
    "uqbar/pxelinux.cfg/01-52-54-00-16-00-10",
    "/pxelinux.cfg/11111111-2222-3333-4444-555555555555",
    ..."AC100010".split("").map((_, index) => `pxelinux.cfg/${"AC100010".slice(0, index + 1)}`),
    "pxelinux.cfg/default-arm-bcm283x-rpi",
    "pxelinux.cfg/default-arm",
    "pxelinux.cfg/default",
  ])("PXELINUX menu, which U-Boot reads, as %s", async (path) => {
    expect(await read(uqbar, path)).toContain("KERNEL vmlinuz\nINITRD initrd\nAPPEND ");
  });

  test.each(["pxelinux.cfg/01-52-54-00-16-00-20", "pxelinux.cfg/AC100020", "pxelinux.cfg/AC1000101", "pxelinux.cfg/linux"])(
    "PXELINUX menu, and not under the name %s, which is another's",
    async (path) => {
      expect(await read(uqbar, path)).toBeUndefined();
    },
  );

  test("roles are told, since the timeline of a boot is made of them", async () => {
    const roles = [
      "shimx64.efi",
      "grubx64.efi",
      "mmx64.efi",
      "grub.cfg",
      "boot.ipxe",
      "uqbar/vmlinuz",
      "uqbar/initrd",
      "common/memtest.efi",
    ];
    const found = await Promise.all(roles.map((path) => resolver.resolve(client(uqbar), path)));
    expect(found.map((each) => ("role" in each ? each.role : each.kind))).toEqual([
      "loader",
      "loader",
      "other",
      "config",
      "config",
      "kernel",
      "initramfs",
      "loader",
    ]);
  });

  test("files under the names that another machine asks by, too", async () => {
    expect(await read(tlon, "vmlinuz")).toBe("tlon's kernel");
    expect(await read(tlon, "tlon/initrd")).toBe("tlon's initramfs");
    expect(await read(tlon, "/grub/grub.cfg")).toContain("linux $server/tlon/vmlinuz");
  });

  test("kernel that was replaced on disk a moment ago", async () => {
    writeFileSync(join(folder, "kernels/next"), "a newer kernel");
    renameSync(join(folder, "kernels/next"), join(folder, "kernels/vmlinuz-6.1"));
    expect(await read(uqbar, "uqbar/vmlinuz")).toBe("a newer kernel");
  });

  test("kernel by way of a symbolic link, as distributions have it", async () => {
    symlinkSync(join(folder, "kernels/vmlinuz-6.1"), join(folder, "vmlinuz"));
    const linked = machine("uqbar", {
      boot: kernelBoot({ kernel: join(folder, "vmlinuz"), initrd: join(folder, "kernels/initrd-6.1.img") }),
    });
    expect(await read(linked, "uqbar/vmlinuz")).toBe("uqbar's kernel");
  });

  test("screen to read why its kernel is missing", async () => {
    const lost = machine("uqbar", { boot: kernelBoot({ kernel: "/nowhere/vmlinuz" }) });
    expect(await read(lost, "/grub/grub.cfg")).toContain("rackboot: /nowhere/vmlinuz is missing on the server");
    expect(await read(lost, "uqbar/vmlinuz")).toBeUndefined();
  });
});

describe("a machine gets nothing else", () => {
  test.each([
    "tlon/vmlinuz",
    "/tlon/initrd",
    "tlon/vmlinuz-6.2",
    "vmlinuz-6.2",
    "tlon/grub.cfg",
    "tlon/boot.ipxe",
    "tlon/shimx64.efi",
    "/grub/grub.cfg-01-52-54-00-16-00-20",
    "/grub/grub.cfg-AC100020",
    "grub.cfg-",
    "grub.cfg.bak",
    "uqbar/tlon/vmlinuz",
    "secret.key",
    "loaders/secret.key",
    "/grub/x86_64-efi/secret.key",
    "/grub/x86_64-efi/../secret.key",
    "/etc/passwd",
    "../outside/secret",
    "common/../../outside/secret",
    "/etc/shadow\0.efi",
    "%2e%2e/outside/secret",
    "uqbar",
    "common",
    "/",
    "",
  ])("%j", async (path) => {
    expect(await read(uqbar, path)).toBeUndefined();
  });

  test("not its kernel's real path", async () => {
    expect(await read(uqbar, join(folder, "kernels/vmlinuz-6.1"))).toBeUndefined();
    expect(await read(uqbar, join(folder, "tlon/vmlinuz-6.2"))).toBeUndefined();
  });

  test("not what a symbolic link leads to outside of the static root, be it a file or a folder", async () => {
    symlinkSync(join(folder, "outside/secret"), join(folder, "root/file"));
    symlinkSync(join(folder, "outside"), join(folder, "root/folder"));
    symlinkSync("memtest.efi", join(folder, "root/common/inside"));
    expect(await read(uqbar, "file")).toBeUndefined();
    expect(await read(uqbar, "folder/secret")).toBeUndefined();
    expect(await read(uqbar, "common/inside")).toBe("memtest");
  });

  test("not what a symbolic link leads to outside of the loader's folder", async () => {
    symlinkSync(join(folder, "outside/secret"), join(folder, "loaders/fbx64.efi"));
    expect(await read(uqbar, "fbx64.efi")).toBeUndefined();
  });

  test("not a neighbour of the static root whose name begins alike", async () => {
    mkdirSync(join(folder, "root-private"));
    writeFileSync(join(folder, "root-private/key"), "secret");
    expect(await read(uqbar, "../root-private/key")).toBeUndefined();
    symlinkSync(join(folder, "root-private/key"), join(folder, "root/key"));
    expect(await read(uqbar, "key")).toBeUndefined();
  });

  test("whatever path is tried, no content but its own comes back", async () => {
    const piece = fc.constantFrom(
      "..",
      "tlon",
      "uqbar",
      "outside",
      "secret",
      "kernels",
      "root",
      "vmlinuz",
      "vmlinuz-6.2",
      "grub.cfg",
      "loaders",
      "secret.key",
      "x86_64-efi",
      "\\",
      "%2e%2e",
    );
    await fc.assert(
      fc.asyncProperty(fc.array(piece, { maxLength: 6 }), async (pieces) => {
        const text = await read(uqbar, pieces.join("/"));
        expect(text ?? "").not.toMatch(/secret|tlon/);
      }),
      { numRuns: 1_000 },
    );
  });
});

describe("a client that is no machine of ours", () => {
  test.each(["uqbar/vmlinuz", "grub.cfg", "shimx64.efi", "boot.ipxe", "grubx64.efi", "vmlinuz"])("does not get %s", async (path) => {
    expect(await read(undefined, path)).toBeUndefined();
  });

  test("gets what lies below the static root", async () => {
    expect(await read(undefined, "/common/memtest.efi")).toBe("memtest");
    expect(await read(undefined, ".hidden")).toBe("hidden, and served");
  });
});

describe("Debian's boot loaders", () => {
  test("an ESP's GRUB without network gives way to the network GRUB of the same signer, where that is installed", async () => {
    writeFileSync(join(folder, "loaders/grubx64.efi"), "GRUB, signed by Debian Secure Boot Signer");
    const served = await read(uqbar, "grubx64.efi");
    // Where the package is not installed the machine's own is still better than nothing.
    expect(served === "GRUB, signed by Debian Secure Boot Signer" || served?.includes("blksize")).toBe(true);
  });

  test("a GRUB of another signer is served as it is", async () => {
    writeFileSync(join(folder, "loaders/grubx64.efi"), "GRUB, signed by somebody");
    expect(await read(uqbar, "grubx64.efi")).toBe("GRUB, signed by somebody");
  });
});

test("GRUB is sent to HTTP only where the image it runs has it", async () => {
  expect(await read(uqbar, "grub.cfg")).not.toContain("(http,");
  writeFileSync(join(folder, "loaders/grubx64.efi"), "GRUB with network: blksize and HTTP/1.1 too");
  expect(await read(uqbar, "grub.cfg")).toContain("(http,172.16.0.1)");
});

test("a machine called like a folder of GRUB's takes nothing from the others", async () => {
  resolver = new BootResolver({
    facts: FACTS,
    loaders: { usual: new Map(), ipxe: new Map() },
    isMachine: () => true,
    diskPlan: async () => diskPlan,
  });
  expect(await read(uqbar, "/grub/grub.cfg")).toContain("menuentry");
  expect(await read(uqbar, "/boot/grub/grub.cfg")).toContain("menuentry");
});

describe("a machine that boots from its disk", () => {
  const onDisk = (text: string): FileOrigin => {
    const bytes = new TextEncoder().encode(text);
    return { kind: "disk", path: `/${text}`, sizeBytes: bytes.length, open: async () => bytesSource(bytes) };
  };
  const shim = onDisk("the disk's shim");
  const kernel = { title: "Linux", kernel: { name: "entry/0/vmlinuz", origin: onDisk("the disk's kernel") }, initrds: [], arguments: "" };
  const chain = {
    architecture: "x64",
    first: shim,
    companions: new Map([
      ["grubx64.efi", onDisk("the disk's GRUB")],
      ["mmx64.efi", onDisk("the disk's MokManager")],
    ]),
    http: true,
    httpBoot: false,
  } as const;
  let disk: Machine;
  let lacking: string[];

  beforeEach(() => {
    disk = machine("uqbar", { boot: { kind: "disk", via: "loader" } });
    const loader = (name: string): { name: string; path: string } => ({ name, path: join(folder, "loaders", name) });
    lacking = [];
    resolver.update({
      lacksLoader: ({ name }, firmware) => lacking.push(`${name}: ${firmware}`),
      facts: FACTS,
      loaders: {
        usual: new Map([
          ["uefi-x64-pxe", loader("shimx64.efi.signed")],
          ["uefi-x64-http", loader("mmx64.efi")],
        ]),
        ipxe: new Map(),
      },
      isMachine: (name) => name === "uqbar",
      diskPlan: async () => diskPlan,
    });
  });

  test("gets its disk's own chain of loaders, so that Secure Boot is between the disk and its firmware", async () => {
    diskPlan = { kind: "kernel", entries: [kernel], defaultIndex: 0, notes: [], chains: [chain] };
    expect(await read(disk, "uqbar/bootx64.efi")).toBe("the disk's shim");
    expect(await read(disk, "uqbar/grubx64.efi")).toBe("the disk's GRUB");
    expect(await read(disk, "\\EFI\\BOOT\\MMX64.EFI")).toBe("the disk's MokManager");
    expect(await read(disk, "uqbar/entry/0/vmlinuz")).toBe("the disk's kernel");
    expect(await read(disk, "grub.cfg")).toContain("(http,172.16.0.1)");
    for (const path of ["uqbar/entry/1/vmlinuz", "uqbar/entry/0/initrd-0", "the disk's kernel"])
      expect(await read(disk, path)).toBeUndefined();
  });

  test("gets this system's loader where its disk brings none, or none that its firmware could go on with", async () => {
    diskPlan = { kind: "kernel", entries: [kernel], defaultIndex: 0, notes: [], chains: [] };
    expect(await read(disk, "uqbar/bootx64.efi")).toBe("UEFI shim,shim");
    diskPlan = { ...diskPlan, chains: [chain] };
    const overHttp = await resolver.resolve({ address: UQBAR_ADDRESS, transport: "http", machine: disk }, "uqbar/bootx64.efi");
    expect(overHttp).toMatchObject({ kind: "file", path: join(folder, "loaders/mmx64.efi") });
    expect(lacking).toEqual([]);
    expect(await read(disk, "uqbar/bootaa64.efi")).toBeUndefined();
    expect(lacking).toEqual(["uqbar: uefi-arm64-pxe"]);
  });

  test("counts as having been given an entry with its menu or its script, and with nothing else", async () => {
    let times = 0;
    diskPlan = { kind: "kernel", entries: [kernel], defaultIndex: 0, notes: [], chains: [], handedOut: () => void times++ };
    for (const path of ["bootx64.efi", "uqbar/entry/0/vmlinuz", "grub.cfg", "uqbar/boot.ipxe"]) await read(disk, path);
    expect(times).toBe(2);
  });

  test("has its disk looked into for what its boot asks, and not for whatever it fetches when it runs", async () => {
    let looks = 0;
    const plan = diskPlan;
    const lookInside = async (): Promise<BootPlan> => {
      looks++;
      return plan;
    };
    const settings = { facts: FACTS, loaders: { usual: new Map(), ipxe: new Map() }, root: join(folder, "root"), isMachine: () => false };
    resolver.update({ ...settings, diskPlan: lookInside });
    for (const path of ["common/memtest.efi.sig", ".hidden", "/grub/x86_64-efi/http.mod", "packages/a.rpm"]) await read(disk, path);
    expect(looks).toBe(0);
    for (const path of ["GRUB.CFG-01-52-54-00-16-00-10", "uqbar/entry/0/initrd-1", "grubx64.efi", "boot.ipxe"]) await read(disk, path);
    expect(looks).toBe(4);
  });

  test("reads on its screen what was looked for, where its disk has nothing", async () => {
    expect(await read(disk, "uqbar/bootx64.efi")).toBe("UEFI shim,shim");
    expect(await read(disk, "grub.cfg")).toContain("there is no partition table");
    expect(await read(disk, "boot.ipxe")).toContain("there is no partition table");
  });

  test("gets a unified kernel image as it is, whether its disk has it or the configuration names it", async () => {
    diskPlan = { kind: "uki", file: { name: "linux.efi", origin: onDisk("the disk's image") } };
    expect(await read(disk, "uqbar/bootx64.efi")).toBe("the disk's image");
    const named = machine("uqbar", { boot: { kind: "uki", file: join(folder, "kernels/vmlinuz-6.1") } });
    expect(await read(named, "uqbar/linux.efi")).toBe("uqbar's kernel");
    expect(await read(named, "boot.ipxe")).toContain("kernel --name linux.efi http://172.16.0.1/uqbar/linux.efi ||");
    expect(await read(named, "grub.cfg")).toContain("chainloader $server/uqbar/linux.efi");
  });
});

test("GRUB finds its modules where grub-mknetdir puts them, around its own image", async () => {
  const lair = folderWith({ "boot/grub/x86_64-efi/core.efi": "GRUB with network: blksize", "boot/grub/x86_64-efi/normal.mod": "normal" });
  const one = machine("uqbar", { boot: kernelBoot({ loader: join(lair, "boot/grub/x86_64-efi/core.efi") }) });
  expect(await read(one, "/boot/grub/x86_64-efi/normal.mod")).toBe("normal");
  expect(await read(one, "/uqbar/x86_64-efi/normal.mod")).toBe("normal");
});

test("what a loader asks for beside itself is found in the folder that everybody may read", async () => {
  expect(await read(uqbar, "/uqbar/common/memtest.efi")).toBe("memtest");
  expect(await read(tlon, "/uqbar/common/memtest.efi")).toBeUndefined();
});

describe("a Raspberry Pi", () => {
  /** Serial number, MAC address, and what the ROM falls back to. */
  const FOLDERS = ["9ffefdef/", "dc-a6-32-0a-ef-79/", ""];

  test.each(FOLDERS)("finds its firmware below the static root, asked for in %j: its machine's own before everybody's", async (asked) => {
    const root = join(folder, "root");
    mkdirSync(join(root, "uqbar"));
    mkdirSync(join(root, "overlays"));
    writeFileSync(join(root, "start4.elf"), "everybody's start4.elf");
    writeFileSync(join(root, "overlays", "disable-bt.dtbo"), "an overlay");
    expect(await read(uqbar, `${asked}start4.elf`)).toBe("everybody's start4.elf");
    expect(await read(uqbar, `${asked}overlays/disable-bt.dtbo`)).toBe("an overlay");
    expect(await read(uqbar, `${asked}bootsig.bin`)).toBeUndefined();
    if (asked === "") return;
    writeFileSync(join(root, "uqbar", "start4.elf"), "uqbar's start4.elf");
    expect(await read(uqbar, `${asked}start4.elf`)).toBe("uqbar's start4.elf");
    expect(await read(tlon, `${asked}start4.elf`)).toBe("everybody's start4.elf");
  });

  test("finds what lies in a folder of its serial number, as on any TFTP server, whoever it is", async () => {
    mkdirSync(join(folder, "root", "9ffefdef"));
    writeFileSync(join(folder, "root", "9ffefdef", "cmdline.txt"), "console=tty1");
    expect(await read(uqbar, "9ffefdef/cmdline.txt")).toBe("console=tty1");
    expect(await read(undefined, "9ffefdef/cmdline.txt")).toBe("console=tty1");
  });

  test.each(FOLDERS)("is told which Linux its machine boots, asked for in %j", async (asked) => {
    expect(await read(uqbar, `${asked}config.txt`)).toContain("\nkernel=vmlinuz\ninitramfs initrd followkernel\n");
    expect(await read(uqbar, `${asked}cmdline.txt`)).toMatch(/^root=LABEL=root ro netroot=iscsi:172\.16\.0\.1::3260::\S+ \S+ ip=dhcp\n$/);
    expect(await read(uqbar, `${asked}vmlinuz`)).toBe("uqbar's kernel");
    expect(await read(uqbar, `${asked}initrd`)).toBe("uqbar's initramfs");
    expect(await read(undefined, `${asked}cmdline.txt`)).toBeUndefined();
  });

  test("gets nothing of another machine's by calling itself something", async () => {
    for (const path of ["9ffefdef/vmlinuz-6.2", "9ffefdef/tlon/vmlinuz", "9ffefdef/../tlon/vmlinuz", "9ffefdef/secret.key"])
      expect([path, await read(uqbar, path)]).toEqual([path, undefined]);
  });
});
