import { describe, expect, test } from "vitest";
import { findLoaders } from "../../src/boot/loaders.ts";
import { bootOffer } from "../../src/boot/offer.ts";
import type { FirmwareKind } from "../../src/machine/firmware.ts";
import { FACTS, kernelBoot, machine } from "./support.ts";

const EVERYTHING = findLoaders(() => true);
const NOTHING = findLoaders(() => false);
const SCRIPT = "http://172.16.0.1/uqbar/boot.ipxe";

function file(kind: FirmwareKind, of = machine(), found = EVERYTHING): string | undefined {
  return bootOffer(kind, of, FACTS, found)?.file;
}

describe("a machine is sent to a loader that its firmware can start", () => {
  test.each<[FirmwareKind, string]>([
    ["bios-pxe", "uqbar/undionly.kpxe"],
    ["uefi-x64-pxe", "uqbar/shimx64.efi"],
    ["uefi-x64-http", "http://172.16.0.1/uqbar/snponly.efi"],
    ["uefi-arm64-pxe", "uqbar/shimaa64.efi"],
    ["uefi-arm64-http", "http://172.16.0.1/uqbar/snponly-arm64.efi"],
    ["uboot-arm64", "uqbar/shimaa64.efi"],
    ["raspberry-pi", "bootcode.bin"],
    ["ipxe-bios", SCRIPT],
    ["ipxe-uefi-x64", SCRIPT],
    ["ipxe-uefi-arm64", SCRIPT],
  ])("%s: %s", (kind, expected) => {
    expect(file(kind)).toBe(expected);
  });

  test("the configured one, where it is for that firmware", () => {
    const configured = machine("uqbar", { boot: kernelBoot({ loader: "/srv/loaders/shimx64.efi.signed" }) });
    expect(file("uefi-x64-pxe", configured)).toBe("uqbar/shimx64.efi");
    expect(file("uefi-x64-http", configured)).toBe("http://172.16.0.1/uqbar/shimx64.efi");
    expect(file("bios-pxe", configured)).toBe("uqbar/undionly.kpxe");
    expect(file("uefi-arm64-pxe", configured)).toBe("uqbar/shimaa64.efi");
    const bios = machine("uqbar", { boot: kernelBoot({ loader: "/srv/loaders/core.0" }) });
    expect(file("bios-pxe", bios)).toBe("uqbar/core.0");
    expect(file("uefi-x64-pxe", bios)).toBe("uqbar/shimx64.efi");
  });

  test("GRUB itself where there is no shim, and shim not without its GRUB", () => {
    expect(
      file(
        "uefi-x64-pxe",
        machine(),
        findLoaders((path) => path.includes("grubnet")),
      ),
    ).toBe("uqbar/grubnetx64.efi");
    expect(
      file(
        "uefi-x64-pxe",
        machine(),
        findLoaders((path) => path.includes("shim")),
      ),
    ).toBeUndefined();
  });

  test("none where the system has none", () => {
    expect(file("uefi-x64-pxe", machine(), NOTHING)).toBeUndefined();
    expect(file("ipxe-bios", machine(), NOTHING)).toBe(SCRIPT);
    // Its menu needs none, and is looked for beside this name.
    expect(file("uboot-arm64", machine(), NOTHING)).toBe("uqbar/pxelinux.0");
  });

  test("a name whose loader turns out when it is asked for, where the disk decides", () => {
    const disk = machine("uqbar", { boot: { kind: "disk", via: "loader" } });
    expect(file("uefi-x64-pxe", disk, NOTHING)).toBe("uqbar/bootx64.efi");
    expect(file("uefi-x64-http", disk)).toBe("http://172.16.0.1/uqbar/bootx64.efi");
    expect(file("uefi-arm64-pxe", disk)).toBe("uqbar/bootaa64.efi");
    expect(file("uefi-arm64-http", disk)).toBe("http://172.16.0.1/uqbar/bootaa64.efi");
    expect(file("uboot-arm64", disk)).toBe("uqbar/bootaa64.efi");
    expect(file("bios-pxe", disk)).toBe("uqbar/undionly.kpxe");
    expect(file("ipxe-bios", disk)).toBe(SCRIPT);
  });

  test("a unified kernel image itself, where firmware can start it", () => {
    const uki = machine("uqbar", { boot: { kind: "uki", file: "/srv/linux-6.1.efi" } });
    expect(file("uefi-x64-pxe", uki)).toBe("uqbar/linux.efi");
    expect(file("uefi-x64-http", uki)).toBe("http://172.16.0.1/uqbar/linux.efi");
    expect(file("bios-pxe", uki)).toBe("uqbar/undionly.kpxe");
  });

  test("iPXE, where the loader on the iSCSI disk is to run", () => {
    const disk = machine("uqbar", { boot: { kind: "disk", via: "sanboot" } });
    expect(file("uefi-x64-pxe", disk)).toBe("uqbar/snponly.efi");
    expect(file("bios-pxe", disk)).toBe("uqbar/undionly.kpxe");
  });
});

test("beside another DHCP server a machine gets the loader that heeds both", () => {
  const facts = { ...FACTS, isProxy: true };
  const disk = machine("uqbar", { boot: { kind: "disk", via: "loader" } });
  expect(bootOffer("uefi-x64-pxe", machine(), facts, EVERYTHING)?.file).toBe("uqbar/snponly.efi");
  expect(bootOffer("uefi-arm64-pxe", disk, facts, EVERYTHING)?.file).toBe("uqbar/snponly-arm64.efi");
  const configured = machine("uqbar", { boot: kernelBoot({ loader: "/srv/loaders/shimx64.efi.signed" }) });
  expect(bootOffer("uefi-x64-pxe", configured, facts, EVERYTHING)?.file).toBe("uqbar/shimx64.efi");
  const onlyGrub = findLoaders((path) => path.includes("grubnet"));
  expect(bootOffer("uefi-x64-pxe", machine(), facts, onlyGrub)?.file).toBe("uqbar/grubnetx64.efi");
});

test("a machine with boot: local is told nothing, so it goes on to its own disk", () => {
  expect(bootOffer("uefi-x64-pxe", machine("uqbar", { boot: { kind: "local" } }), FACTS, EVERYTHING)).toBeUndefined();
  expect(bootOffer("ipxe-bios", machine("uqbar", { boot: { kind: "local" } }), FACTS, EVERYTHING)).toBeUndefined();
});

test("iPXE is told who it is, and logs in to the disk itself only where the initramfs wants the iBFT", () => {
  expect(bootOffer("ipxe-bios", machine(), FACTS, EVERYTHING)).toEqual({ file: SCRIPT, initiatorName: "iqn.1994-05.com.redhat:uqbar" });
  const ibft = machine("uqbar", { arguments: "rd.iscsi.firmware=1" });
  expect(bootOffer("ipxe-bios", ibft, FACTS, EVERYTHING)).toMatchObject({
    rootPath: "iscsi:172.16.0.1:6:3260:0:iqn.2026-01.lan.rackboot:uqbar",
  });
});

test("a URL names the port where it is not 80", () => {
  const offer = bootOffer("uefi-x64-http", machine(), { ...FACTS, httpPort: 8080 }, EVERYTHING);
  expect(offer?.file).toBe("http://172.16.0.1:8080/uqbar/snponly.efi");
});
