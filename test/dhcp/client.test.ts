import { expect, test } from "vitest";
import { networkCardOf, recogniseFirmware } from "../../src/dhcp/client.ts";
import * as option from "../../src/dhcp/options.ts";
import { BROADCAST_FLAG, decodePacket } from "../../src/dhcp/packet.ts";
import { value, vector } from "./support.ts";

test.each([
  ["ovmf-pxe-discover", "uefi-x64-pxe"],
  ["ovmf-http-discover", "uefi-x64-http"],
  ["ipxe-bios-discover", "ipxe-bios"],
  ["ipxe-uefi-discover", "ipxe-uefi-x64"],
  ["uboot-discover", "uboot-arm64"],
  ["uboot-efi-discover", "uefi-arm64-pxe"],
  ["dhclient-discover", undefined],
  ["networkmanager-discover", undefined],
  ["udhcpc-discover", undefined],
])("%s comes from %s", (name, kind) => {
  expect(recogniseFirmware(decodePacket(vector(name)).options)).toBe(kind);
});

test.each([
  ["ovmf-pxe-discover", true, [53, 57, 55, 97, 94, 93, 60], 1472, [66, 67, 128]],
  ["ovmf-http-discover", true, [53, 57, 55, 97, 94, 93, 60], 1472, [67]],
  ["ipxe-bios-discover", false, [53, 57, 93, 94, 60, 77, 55, 175, 61, 97], 1472, [66, 67, 119, 175, 203]],
  ["dhclient-discover", false, [53, 12, 55], undefined, [1, 3, 12, 26, 121]],
  ["networkmanager-discover", false, [53, 61, 55, 57], 576, [17, 121, 249]],
  ["uboot-discover", false, [53, 57, 93, 94, 60, 55], 576, [12, 17]],
] as const)("%s is what such clients send: flag, options in their order, size, wishes", (name, broadcast, codes, size, wishes) => {
  const { flags, options } = decodePacket(vector(name));
  expect([(flags & BROADCAST_FLAG) !== 0, [...options.keys()], option.readOption(options, option.MAXIMUM_SIZE)]).toEqual([
    broadcast,
    codes,
    size,
  ]);
  expect([...(options.get(option.PARAMETER_LIST.code) ?? [])]).toEqual(expect.arrayContaining([...wishes]));
});

const pxe = value(option.VENDOR_CLASS, "PXEClient:Arch:00000:UNDI:002001");
const architecture = (number: number) => value(option.ARCHITECTURE, [number]);

test.each([
  ["a BIOS ROM", [pxe, architecture(0)], "bios-pxe"],
  [
    "a ROM that says its architecture in the vendor class only",
    [value(option.VENDOR_CLASS, "PXEClient:Arch:00011:UNDI:003000")],
    "uefi-arm64-pxe",
  ],
  ["a ROM that says nothing but PXEClient", [value(option.VENDOR_CLASS, "PXEClient")], "bios-pxe"],
  ["UEFI that calls itself EFI BC", [pxe, architecture(9)], "uefi-x64-pxe"],
  ["arm64 UEFI HTTP", [value(option.VENDOR_CLASS, "HTTPClient:Arch:00019:UNDI:003000"), architecture(19)], "uefi-arm64-http"],
  ["iPXE told by its bare user class", [pxe, architecture(0), value(option.USER_CLASS, Buffer.from("iPXE"))], "ipxe-bios"],
  ["iPXE told by a user class with its length", [pxe, architecture(7), value(option.USER_CLASS, Buffer.from("\x04iPXE"))], "ipxe-uefi-x64"],
  ["iPXE told by option 175", [pxe, architecture(11), value(option.IPXE, new Map())], "ipxe-uefi-arm64"],
  ["32-bit UEFI, for which there is nothing", [pxe, architecture(6)], undefined],
  ["Windows", [value(option.VENDOR_CLASS, "MSFT 5.0")], undefined],
  ["arm64 UEFI PXE", [value(option.VENDOR_CLASS, "PXEClient:Arch:00011:UNDI:003000"), architecture(11)], "uefi-arm64-pxe"],
  ["U-Boot that says nothing but its architecture", [architecture(22)], undefined],
  ["32-bit U-Boot, for which there is nothing", [value(option.VENDOR_CLASS, "U-Boot.armv7"), architecture(21)], undefined],
])("%s is recognised, or a machine loops in its ROM", (_, options, kind) => {
  expect(recogniseFirmware(new Map(options))).toBe(kind);
});

test.each([
  ["ipxe-bios-discover", "1af4:1000"],
  ["ipxe-uefi-discover", "1af4:1000"],
  ["ovmf-pxe-discover", undefined],
  ["dhclient-discover", undefined],
])("%s shows the network card %s", (name, card) => {
  expect(networkCardOf(decodePacket(vector(name)).options)).toBe(card);
});

test.each([
  ["one on a USB bus", Uint8Array.of(0xb1, 5, 5, 0x80, 0x86, 0x10, 0xd3)],
  ["one that is cut off", Uint8Array.of(0xb1, 3, 1, 0x80, 0x86)],
  ["an option that is no list", Uint8Array.of(0xb1, 200, 1)],
  ["nothing", Uint8Array.of()],
])("%s is no network card that could be looked for, and no error", (_, octets) => {
  expect(networkCardOf(new Map([[option.IPXE.code, octets]]))).toBeUndefined();
});

test("an architecture of odd length is refused with the reason", () => {
  expect(() => recogniseFirmware(new Map([pxe, [93, Uint8Array.of(0)]]))).toThrow("option 93 (client architecture): 1 octets");
});
