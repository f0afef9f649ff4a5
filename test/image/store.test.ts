import { createReadStream, existsSync, mkdirSync, readdirSync, readFileSync, truncateSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { ImageStore, type ImageStoreParts } from "../../src/image/store.ts";
import { contentOf } from "../../src/image/tree.ts";
import type { ImageName } from "../../src/machine/identifiers.ts";
import type { StateEvent } from "../../src/state/events.ts";
import { Resources } from "../harness/resources.ts";
import { KERNEL, makeIso, ownFolder, rhelFiles, writeTree } from "./media.ts";

let resources: Resources;
let folder: string;
let storage: string;
let events: StateEvent[];

beforeEach(() => {
  resources = new Resources();
  folder = ownFolder(resources);
  storage = join(folder, "data");
  events = [];
});
afterEach(() => resources.close());

function store(changes: Partial<ImageStoreParts> = {}): ImageStore {
  const room = { requireRoom: () => undefined };
  return new ImageStore({ storage, room: () => room, now: () => 5, emit: (event) => events.push(event), ...changes });
}

async function iso(files = rhelFiles("8.10")): Promise<string> {
  writeTree(join(folder, "tree"), files);
  const path = join(folder, "rhel.iso");
  await makeIso(join(folder, "tree"), path);
  return path;
}

async function read(images: ImageStore, name: string, path: string): Promise<Buffer | undefined> {
  const { tree } = await images.get(name as ImageName);
  const file = await tree.file(path);
  if (file === undefined) return undefined;
  const pieces: Uint8Array[] = [];
  for await (const piece of contentOf(file, 1 << 20)) pieces.push(piece);
  return Buffer.concat(pieces);
}

const RHEL = {
  installer: "anaconda",
  system: "Red Hat Enterprise Linux",
  version: "8.10",
  major: 8,
  architecture: "x64",
  kernel: "images/pxeboot/vmlinuz",
  initrd: "images/pxeboot/initrd.img",
  shim: "EFI/BOOT/BOOTX64.EFI",
  grub: "EFI/BOOT/grubx64.efi",
  packages: true,
  verified: 3,
};

describe("a medium that is imported", () => {
  test("from an ISO file is known by what it says of itself, with every checksum looked at", async () => {
    const images = store();
    const progress: number[] = [];
    const report = await images.importFile(await iso(), "rhel-8.10", { onProgress: ({ doneBytes }) => progress.push(doneBytes) });
    expect(report).toMatchObject({ ...RHEL, name: "rhel-8.10", medium: "iso", importedMs: 5 });
    expect(await images.list()).toEqual([report]);
    expect((await read(images, "rhel-8.10", "images/pxeboot/vmlinuz"))?.equals(KERNEL)).toBe(true);
    expect(progress.length).toBeGreaterThan(2);
    expect(events).toContainEqual({
      type: "image.imported",
      image: "rhel-8.10",
      system: "Red Hat Enterprise Linux 8.10",
      sizeBytes: report.sizeBytes,
    });
  });

  test("from a stream, and from the folder that it is unpacked in, is the same", async () => {
    const images = store();
    const path = await iso();
    expect(await images.importStream(createReadStream(path), "streamed")).toMatchObject({ ...RHEL, medium: "iso" });
    expect(await images.importFile(join(folder, "tree"), "unpacked")).toMatchObject({ ...RHEL, medium: "folder" });
    for (const name of ["streamed", "unpacked"]) expect((await read(images, name, "images/pxeboot/vmlinuz"))?.equals(KERNEL)).toBe(true);
    for (const path of ["../image.json", "images", "images/../../image.json"]) expect(await read(images, "unpacked", path)).toBeUndefined();
  });

  test("is there after a restart, and gone when it is deleted", async () => {
    await store().importFile(await iso(), "rhel-8.10");
    const images = store();
    await images.start();
    expect((await images.list()).map(({ name }) => name)).toEqual(["rhel-8.10"]);
    await images.delete("rhel-8.10");
    expect(await images.list()).toEqual([]);
    await expect(images.get("rhel-8.10" as ImageName)).rejects.toThrow("there is no image rhel-8.10; import it with");
    expect(readdirSync(join(storage, "images"))).toEqual([]);
  });
});

test.each([
  ["rhel", "10.0", "Rocky Linux"],
  ["rebuild", "9.4", "AlmaLinux"],
  ["stream", "9", "CentOS Stream"],
])("every RHEL that is supported, and its rebuilds, are taken (%s)", async (name, version, system) => {
  const report = await store().importFile(await iso(rhelFiles(version, system)), name);
  expect(report).toMatchObject({ system, version, major: Number.parseInt(version, 10) });
});

test("Debian's netboot.tar.gz, unpacked, is taken by the release that it says", async () => {
  const tree = join(folder, "netboot");
  const files = new Map([
    ["version.info", Buffer.from("Debian version:  13 (trixie)\nInstaller build: 20250803\n")],
    ["debian-installer/amd64/linux", Buffer.from("kernel")],
    ["debian-installer/amd64/initrd.gz", Buffer.from("initrd")],
    ["debian-installer/amd64/bootnetx64.efi", Buffer.from("shim")],
    ["debian-installer/amd64/grubx64.efi", Buffer.from("grub")],
  ]);
  writeTree(tree, files);
  expect(await store().importFile(tree, "debian-13")).toMatchObject({
    installer: "debian-installer",
    system: "Debian",
    version: "13",
    codename: "trixie",
    packages: false,
    shim: "debian-installer/amd64/bootnetx64.efi",
  });
});

describe("a medium that is refused changes nothing", () => {
  const broken = (change: (files: Map<string, Buffer>) => void): Map<string, Buffer> => {
    const files = new Map(rhelFiles("8.10"));
    change(files);
    return files;
  };
  test.each([
    [
      "whose file is not what its checksum says",
      broken((files) => files.set("images/install.img", Buffer.from("other"))),
      "images/install.img is not what its .treeinfo says (SHA-256); copy it anew",
    ],
    [
      "that lacks a file",
      broken((files) => files.delete("images/pxeboot/vmlinuz")),
      "its .treeinfo names images/pxeboot/vmlinuz, which is not on it",
    ],
    ["of another system", rhelFiles("40", "Fedora"), "it is Fedora 40; what can be installed is RHEL 8, 9, 10 and its rebuilds"],
    ["that is too old", rhelFiles("7.9"), "it is Red Hat Enterprise Linux 7.9"],
    ["without a description", new Map([["README", Buffer.from("hello")]]), "it has neither the .treeinfo of RHEL"],
  ])("%s", async (_, files, reason) => {
    const images = store();
    await images.start();
    await expect(images.importFile(await iso(files), "bad")).rejects.toThrow(reason);
    expect(await images.list()).toEqual([]);
    expect(readdirSync(join(storage, "images"))).toEqual([]);
  });

  test("that was cut short, is no file, or has a name that is taken or impossible", async () => {
    const images = store();
    const path = await iso();
    await images.importFile(path, "taken");
    await expect(images.importFile(path, "taken")).rejects.toThrow("there is an image taken already");
    await expect(images.importFile(path, "../up")).rejects.toThrow("is not the name of an image");
    await expect(images.importFile(join(folder, "none.iso"), "none")).rejects.toThrow("does not exist");
    await expect(images.importFile("rhel.iso", "relative")).rejects.toThrow("no absolute path");
    truncateSync(path, 4_000_000);
    await expect(images.importFile(path, "short")).rejects.toThrow("it was cut short; copy it anew");
    await expect(images.importStream(createReadStream(path), "short")).rejects.toThrow("it was cut short");
    expect(readdirSync(join(storage, "images"))).toEqual(["taken"]);
  });

  test("for which there is no room, or that is called off", async () => {
    const full = {
      requireRoom: () => {
        throw new Error("no room");
      },
    };
    const path = await iso();
    await expect(store({ room: () => full }).importStream(createReadStream(path), "big")).rejects.toThrow("no room");
    const aborted = AbortSignal.abort();
    await expect(store().importFile(join(folder, "tree"), "off", { signal: aborted })).rejects.toThrow("aborted");
    expect(readdirSync(join(storage, "images"))).toEqual([]);
  });
});

test("a crash between any two steps leaves the whole image or none, and nothing half done", async () => {
  const path = await iso();
  const steps: string[] = [];
  await store({ onStep: (step) => steps.push(step) }).importFile(path, "probe");
  for (const crashAt of steps) {
    const name = `at-${crashAt}`;
    const crashed = store({
      onStep: (step) => {
        if (step === crashAt) throw new Error("crash");
      },
    });
    await expect(crashed.importFile(path, name)).rejects.toThrow("crash");
    // What a killed process could not have removed.
    mkdirSync(join(storage, "images", ".new-left"), { recursive: true });
    writeFileSync(join(storage, "images", ".new-left", "medium.iso"), "half");
    const after = store();
    await after.start();
    const there = (await after.list()).some((image) => image.name === name);
    expect(existsSync(join(storage, "images", name))).toBe(there);
    if (there) expect((await read(after, name, "images/pxeboot/vmlinuz"))?.equals(KERNEL)).toBe(true);
    expect(readdirSync(join(storage, "images")).filter((each) => each.startsWith("."))).toEqual([]);
  }
  expect(readFileSync(path).length).toBeGreaterThan(10_000_000);
});
