import { setImmediate as settled } from "node:timers/promises";
import type { Daemon } from "../../../board/console/screen.ts";
import { type StickFile, type SystemDisk, systemOperations } from "../../../src/control/system-operations.ts";
import type { MachineName, VolumeName } from "../../../src/machine/identifiers.ts";
import type { ImageReport } from "../../../src/machine/image.ts";
import type { Machine } from "../../../src/machine/machine.ts";
import { DEFAULT_VOLUME_SETTINGS, type VolumeReport } from "../../../src/machine/volume.ts";
import { followBoots } from "../../../src/state/boot-events.ts";
import type { StateEvent } from "../../../src/state/events.ts";
import { Store } from "../../../src/state/store.ts";
import { root, start, tlon, uefiBoot, uqbar } from "../../state/uefi-boot.ts";

/** A rack in the middle of its life, and what a daemon would answer of it: all that a page may have to show is on it. */
export const NOW_MS: number = Date.UTC(2026, 0, 31, 13, 5, 0);
const BEGAN_MS = NOW_MS - 20 * 60_000;
const GB = 1e9;

const pool = { path: "/data", fileSystem: "xfs", reflink: true, sizeBytes: 500 * GB, freeBytes: 120 * GB } as const;

const troubles: readonly StateEvent[] = [
  { type: "health.measured", temperatureC: 82.5, memory: { totalBytes: 4 * GB, availableBytes: 3 * GB } },
  {
    type: "alarm.raised",
    alarm: "hot",
    reason: "the processor has 82.5 °C",
    next: "give the board air or a heat sink; it slows down from 80 °C on",
  },
  {
    type: "alarm.raised",
    alarm: "under-voltage",
    reason: "the supply voltage is too low",
    next: "use the board's own power supply and a short cable, and give the disk a supply of its own",
  },
  {
    type: "alarm.raised",
    alarm: "uas-quirk",
    reason: "the data disk's USB bridge 152d:0578 (JMicron JMS578) is known to hang under load with UAS",
    next: "add usb-storage.quirks=152d:0578:u to the kernel line (cmdline.txt), or use another adapter",
  },
  {
    type: "fault.raised",
    fault: "data-disk-failing",
    reason: "sda says of itself that it fails (SMART)",
    next: "copy its disks to another one and replace it, or delete what nobody needs",
  },
];

/** A machine that nobody knows yet. */
const stranger = "52:54:00:16:00:99" as Machine["macs"][number];

async function stateOfTheRack(withTroubles: boolean): Promise<Store> {
  let atMs = BEGAN_MS;
  const store = new Store({ now: () => atMs });
  for (const event of start) store.emit(event);
  store.emit({ type: "pool.measured", ...pool });
  followBoots(store, { loaderBegins: false, lastNumber: 6, onConfirmed: () => undefined });
  for (const [elapsedMs, event] of uefiBoot) {
    atMs += elapsedMs;
    store.emit(event);
    // Who follows the boot hears of it a moment later.
    await settled();
  }
  store.emit({ type: "dhcp.pending", mac: stranger, firmware: "uefi-x64-pxe" });
  if (withTroubles) for (const event of troubles) store.emit(event);
  return store;
}

const machine = (name: MachineName, more: Partial<Machine> = {}): Machine => ({
  name,
  macs: [(name === uqbar ? "52:54:00:16:00:10" : "52:54:00:16:00:11") as Machine["macs"][number]],
  initiators: [`iqn.1994-05.com.redhat:${name}` as Machine["initiators"][0]],
  anyInitiator: false,
  target: `iqn.2026-01.lan.rackboot:${name}` as Machine["target"],
  disks: name === uqbar ? [root] : [],
  chap: false,
  arguments: "",
  boot: { kind: "disk", via: "loader" },
  ephemeral: false,
  hostname: name,
  ...more,
});
const machines = [machine(uqbar, { address: "172.16.0.16" as NonNullable<Machine["address"]> }), machine(tlon)];

const image: ImageReport = {
  name: "rhel-9.4" as ImageReport["name"],
  installer: "anaconda",
  system: "Red Hat Enterprise Linux",
  version: "9.4",
  major: 9,
  architecture: "x64",
  kernel: "images/pxeboot/vmlinuz",
  initrd: "images/pxeboot/initrd.img",
  packages: true,
  verified: 4,
  medium: "iso",
  sizeBytes: 11 * GB,
  importedMs: BEGAN_MS,
};

const volume: VolumeReport = {
  name: root,
  uuid: "0d5e4ad5-8c5d-4f3c-9d43-1f6a5d4c0001",
  createdMs: BEGAN_MS,
  sizeBytes: 2 ** 40,
  usedBytes: 12 * GB,
  sharedBytes: 9 * GB,
  origin: "golden@monday",
  settings: DEFAULT_VOLUME_SETTINGS,
  configured: true,
  open: true,
  machines: [uqbar],
  snapshots: [
    {
      name: "before-update" as VolumeName,
      createdMs: BEGAN_MS,
      sizeBytes: 2 ** 40,
      usedBytes: 11 * GB,
      aloneBytes: 2 * GB,
      automatic: false,
      clones: [],
    },
  ],
};

const disks: readonly SystemDisk[] = [
  {
    name: "mmcblk0",
    sizeBytes: 32 * GB,
    model: "SD32G",
    serial: "0x1234",
    usb: false,
    readOnly: false,
    role: "card",
    contents: [],
    confirmation: "0x1234",
  },
  {
    name: "sda",
    sizeBytes: 500 * GB,
    model: "Samsung T7",
    serial: "S5TXNS0R",
    usb: true,
    readOnly: false,
    role: "data",
    contents: [{ type: "xfs", label: "RACKBOOT" }],
    confirmation: "S5TXNS0R",
  },
  {
    name: "sdb",
    sizeBytes: 1000 * GB,
    model: "Elements 25A2",
    serial: "",
    usb: true,
    readOnly: false,
    role: "other",
    contents: [{ type: "ext4", label: "photos" }],
    confirmation: "sdb",
  },
];

const sticks: readonly StickFile[] = [
  { path: "/run/rackboot/sticks/sdc1/a.iso", name: "media/rhel-9.4-x86_64-dvd.iso", stick: "KINGSTON", sizeBytes: 11 * GB },
  { path: "/run/rackboot/sticks/sdc1/b.raucb", name: "rackboot-0.2.0-rpi4.raucb", stick: "KINGSTON", sizeBytes: 0.2 * GB },
];

const network = {
  settings: {
    interface: "eth0",
    address: "172.16.0.1/24",
    vlan: 20,
    dhcpMode: "server",
    dhcpRange: "172.16.0.100-172.16.0.199",
  },
  manage: true,
  interfaces: ["eth0", "eth1"],
} as const;

/** `troubles`: alarms and a fault stand. `isNew`: no password was set yet. */
export async function rackDaemon(options: { readonly troubles?: boolean; readonly isNew?: boolean } = {}): Promise<Daemon> {
  const state = (await stateOfTheRack(options.troubles === true)).snapshot();
  const answers: Readonly<Record<string, unknown>> = {
    operations: [
      ...Object.keys(systemOperations(undefined)),
      ..."events machine.add machine.set machine.remove machine.move machine.swap machine.adopt machine.entries machine.boot machine.reset".split(
        " ",
      ),
      ..."machine.install install.cancel image.list image.import image.delete config.text config.replace network.show".split(" "),
      ..."network.apply network.confirm network.revert volume.list volume.create volume.snapshot volume.clone volume.resize".split(" "),
      ..."volume.delete volume.rollback update.status update.install update.restart update.rollback update.confirm".split(" "),
    ],
    status: { version: "0.1.0", pid: 1, nowMs: NOW_MS, state, reserved: { tlon: "172.16.0.17" } },
    "machine.list": machines,
    "machine.pending": { unknown: "pending", machines: [], profiles: ["worker"], nowMs: NOW_MS },
    "machine.show": { machine: machines[0], nowMs: NOW_MS, state },
    "machine.entries": {
      volume: root,
      entries: ["427.13.1", "427.20.1"].map((version) => ({
        title: `Red Hat Enterprise Linux (5.14.0-${version}.el9_4.x86_64) 9.4 (Plow)`,
        id: version,
        kernel: `/boot/vmlinuz-5.14.0-${version}.el9_4.x86_64`,
        arguments: "",
      })),
      next: { index: 1, because: "disk" },
      unifiedKernels: [],
      notes: [],
    },
    "image.list": [image],
    "system.sticks": ({ ending }: { readonly ending: string }) => sticks.filter(({ path }) => path.endsWith(ending)),
    "volume.list": {
      pool: { path: "/data", fileSystem: "xfs", reflink: true, sizeBytes: 500 * GB, freeBytes: 120 * GB },
      volumes: [volume],
    },
    "volume.show": volume,
    "network.show": network,
    "system.disks": disks,
    "system.time": { nowMs: NOW_MS, source: "ntp", servers: ["172.16.0.254"] },
    "system.password": { isSet: options.isNew !== true },
    "update.status": {
      slots: [
        { name: "a", running: true, primary: true, state: "good", version: "0.1.0" },
        { name: "b", running: false, primary: false, state: "failed", version: "0.2.0" },
      ],
      confirmed: true,
      installing: false,
    },
    "config.text": { file: "rackboot.yaml", text: "network: { interface: eth0, address: 172.16.0.1/24 }\nmachines: {}\n" },
    "system.logs": ["Jan 31 12:45:00 rackboot: ready"],
  };
  return {
    call: async (operation: string, input: never) => {
      const answer = answers[operation];
      if (answer !== undefined) return typeof answer === "function" ? answer(input) : answer;
      throw new Error(`nobody asks for ${operation} while it only looks`);
    },
    follow: async function* () {},
  } as unknown as Daemon;
}
