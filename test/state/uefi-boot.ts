import type { FirmwareKind } from "../../src/machine/firmware.ts";
import type { Ipv4, Iqn, Mac, MachineName, VolumeName } from "../../src/machine/identifiers.ts";
import type { FileRole, StateEvent } from "../../src/state/events.ts";

export const uqbar = "uqbar" as MachineName;
export const tlon = "tlon" as MachineName;
export const root = "uqbar-root" as VolumeName;
const mac = "52:54:00:16:00:10" as Mac;
const address = "172.16.0.16" as Ipv4;
const firmware: FirmwareKind = "uefi-x64-pxe";
const session = { machine: uqbar, initiator: "iqn.1994-05.com.redhat:uqbar" as Iqn, target: "iqn.2026-01.lan.rackboot:uqbar" as Iqn };

let transfers = 0;

function file(path: string, role: FileRole, sizeBytes: number, elapsedMs: number): readonly (readonly [number, StateEvent])[] {
  const what = { machine: uqbar, transfer: ++transfers, transport: "tftp", address, path, role } as const;
  return [
    [elapsedMs / 2, { ...what, type: "transfer.started", sizeBytes }],
    [elapsedMs / 2, { type: "transfer.progressed", machine: uqbar, transfer: what.transfer, sentBytes: sizeBytes / 2 }],
    [elapsedMs, { ...what, type: "transfer.finished", sentBytes: sizeBytes, elapsedMs }],
  ];
}

/** What a UEFI machine with dracut's initramfs makes happen, in order, each with the milliseconds since the one before. */
export const uefiBoot: readonly (readonly [number, StateEvent])[] = [
  [0, { type: "dhcp.discovered", machine: uqbar, mac, firmware, vendorClass: "PXEClient:Arch:00007:UNDI:003000" }],
  [2, { type: "dhcp.offered", machine: uqbar, mac, address, firmware, file: "shimx64.efi" }],
  [3900, { type: "dhcp.acknowledged", machine: uqbar, mac, address, firmware, leaseMs: Number.POSITIVE_INFINITY }],
  ...file("shimx64.efi", "loader", 957_136, 300),
  [10, { type: "file.refused", machine: uqbar, transport: "tftp", address, path: "revocations_sbat.efi", reason: "no such file" }],
  ...file("grubx64.efi", "loader", 2_533_000, 700),
  ...file("/grub/grub.cfg", "config", 412, 10),
  ...file("/vmlinuz", "kernel", 8_200_000, 4000),
  ...file("/initrd.img", "initramfs", 44_000_000, 21_000),
  [9000, { type: "dhcp.discovered", machine: uqbar, mac }],
  [1, { type: "dhcp.offered", machine: uqbar, mac, address }],
  [20, { type: "dhcp.acknowledged", machine: uqbar, mac, address, leaseMs: Number.POSITIVE_INFINITY }],
  [800, { ...session, type: "iscsi.login", connection: 1, peer: "172.16.0.16:40312", reinstated: false }],
  [60, { type: "iscsi.firstRead", machine: uqbar, connection: 1 }],
  [6000, { type: "iscsi.closed", machine: uqbar, connection: 1, reason: "peer-closed" }],
  [2000, { ...session, type: "iscsi.login", connection: 2, peer: "172.16.0.16:40314", reinstated: true }],
  [40, { type: "iscsi.firstRead", machine: uqbar, connection: 2 }],
];

/** What the daemon says before any machine asks. */
export const start: readonly StateEvent[] = [
  { type: "config.loaded", file: "rackboot.yaml", machines: [uqbar, tlon], volumes: [root] },
  { type: "volume.opened", volume: root, sizeBytes: 2 ** 40 },
  { type: "service.started", service: "iscsi", detail: "on 172.16.0.1:3260" },
  { type: "daemon.ready" },
];
