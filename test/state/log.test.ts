import { PassThrough } from "node:stream";
import { describe, expect, it } from "vitest";
import type { ImageName, Ipv4, Iqn, Mac, MachineName, VolumeName } from "../../src/machine/identifiers.ts";
import type { EventType, StateEvent } from "../../src/state/events.ts";
import { createLogger, LINES_WINDOW_MS, lineOf, logEvents, MAX_LINES_OF_A_TYPE } from "../../src/state/log.ts";
import { Store } from "../../src/state/store.ts";

const machine = "uqbar" as MachineName;
const mac = "52:54:00:16:00:10" as Mac;
const address = "172.16.0.16" as Ipv4;
const volume = "uqbar-root" as VolumeName;
const image = "rhel-8.10" as ImageName;
const initiator = "iqn.1994-05.com.redhat:uqbar" as Iqn;
const target = "iqn.2026-01.lan.rackboot:uqbar" as Iqn;
const transfer = { transfer: 1, transport: "tftp", address, path: "/vmlinuz", role: "kernel" } as const;

/** One of each; the compiler misses none. */
const EVENTS: { readonly [T in EventType]: Extract<StateEvent, { type: T }> } = {
  "dhcp.discovered": { type: "dhcp.discovered", mac, firmware: "ipxe-bios" },
  "dhcp.offered": { type: "dhcp.offered", machine, mac, address, file: "shimx64.efi" },
  "dhcp.acknowledged": { type: "dhcp.acknowledged", machine, mac, address, leaseMs: Number.POSITIVE_INFINITY },
  "dhcp.refused": { type: "dhcp.refused", machine, mac, reason: "it asked for 10.0.0.1" },
  "dhcp.ignored": { type: "dhcp.ignored", reason: "no DHCP" },
  "dhcp.pending": { type: "dhcp.pending", mac, firmware: "uefi-x64-pxe", vendorClass: "PXEClient:Arch:00007", architecture: 7 },
  "dhcp.conflict": { type: "dhcp.conflict", address, mac },
  "network.conflict": { type: "network.conflict", address, mac },
  "network.conflictOver": { type: "network.conflictOver", address },
  "dhcp.conflictOver": { type: "dhcp.conflictOver", address },
  "dhcp.rogue": { type: "dhcp.rogue", server: address },
  "dhcp.rogueGone": { type: "dhcp.rogueGone", server: address },
  "dhcp.released": { type: "dhcp.released", machine, mac, address },
  "dhcp.declined": { type: "dhcp.declined", machine, mac, address },
  "transfer.started": { type: "transfer.started", machine, ...transfer, sizeBytes: 8_200_000 },
  "transfer.progressed": { type: "transfer.progressed", machine, transfer: 1, sentBytes: 1 },
  "transfer.finished": { type: "transfer.finished", machine, ...transfer, sentBytes: 8_200_000, elapsedMs: 4000 },
  "transfer.failed": { type: "transfer.failed", ...transfer, reason: "it went silent" },
  "upload.finished": { type: "upload.finished", address, path: "core", sizeBytes: 4096, elapsedMs: 20 },
  "upload.failed": { type: "upload.failed", address, path: "core", reason: "it went silent" },
  "file.refused": { type: "file.refused", transport: "http", address, path: "/../etc/passwd", reason: "outside" },
  "iscsi.login": { type: "iscsi.login", machine, connection: 1, initiator, target, peer: "172.16.0.16:40312", reinstated: true },
  "iscsi.discovery": { type: "iscsi.discovery", connection: 1, initiator, peer: "172.16.0.16:40312" },
  "iscsi.refused": { type: "iscsi.refused", peer: "172.16.0.99:1", target, reason: "not its initiator" },
  "iscsi.slowed": { type: "iscsi.slowed", peer: "172.16.0.99", failures: 4 },
  "iscsi.firstRead": { type: "iscsi.firstRead", machine, connection: 1 },
  "iscsi.closed": { type: "iscsi.closed", machine, connection: 1, reason: "peer-closed" },
  "volume.shared": { type: "volume.shared", volume, sharedBytes: 2 ** 30, elapsedMs: 12.4 },
  "volume.opened": { type: "volume.opened", volume, sizeBytes: 2 ** 40 },
  "volume.failed": { type: "volume.failed", volume, reason: "fdatasync: EIO" },
  "volume.full": { type: "volume.full", volume },
  "volume.eased": { type: "volume.eased", volume, refusals: 7 },
  "volume.made": { type: "volume.made", volume, how: "cloned", origin: "golden@v1", sizeBytes: 2 ** 40, elapsedMs: 6.4 },
  "volume.snapshot": { type: "volume.snapshot", volume, snapshot: "monday" as VolumeName, pauseMs: 11.5 },
  "volume.rolledBack": { type: "volume.rolledBack", volume, snapshot: "monday" as VolumeName },
  "volume.renewed": { type: "volume.renewed", volume, origin: "golden@v1", elapsedMs: 6.4 },
  "volume.resized": { type: "volume.resized", volume, sizeBytes: 2 ** 41 },
  "volume.renamed": { type: "volume.renamed", volume, to: "tlon-root" as VolumeName },
  "volume.deleted": { type: "volume.deleted", volume, snapshot: "monday" as VolumeName },
  "pool.measured": {
    type: "pool.measured",
    path: "/data",
    fileSystem: "ext4",
    reflink: false,
    sizeBytes: 2 ** 40,
    freeBytes: 2 ** 39,
  },
  "pool.filling": { type: "pool.filling", percent: 81, freeBytes: 2 ** 37 },
  "pool.eased": { type: "pool.eased", percent: 70, freeBytes: 2 ** 38 },
  "pool.unknown": { type: "pool.unknown", reason: "EIO" },
  "peer.malformed": { type: "peer.malformed", service: "dhcp", peer: "172.16.0.99", reason: "input ends early" },
  "boot.began": { type: "boot.began", machine, boot: 1, firmware: "uefi-x64-pxe" },
  "boot.reached": { type: "boot.reached", machine, boot: 1, stage: "up" },
  "boot.abandoned": { type: "boot.abandoned", machine, boot: 1, stage: "kernel", reason: "its firmware asked again" },
  "boot.entry": { type: "boot.entry", machine, boot: 1, entry: "Linux 6.2", because: "next-entry" },
  "boot.fellBack": { type: "boot.fellBack", machine, boot: 1, entry: "Linux 6.1", failed: "Linux 6.2" },
  "boot.installing": { type: "boot.installing", machine, boot: 1, image, system: "RHEL 8.10" },
  "boot.installed": { type: "boot.installed", machine, boot: 1, image },
  "boot.installFailed": { type: "boot.installFailed", machine, boot: 1, image, reason: "it started anew" },
  "image.imported": { type: "image.imported", image, system: "RHEL 8.10", sizeBytes: 2 ** 33 },
  "image.deleted": { type: "image.deleted", image },
  "boot.noLoader": { type: "boot.noLoader", machine, boot: 1, firmware: "uefi-arm64-pxe" },
  "boot.nothing": { type: "boot.nothing", machine, boot: 1, reason: "there is no partition table" },
  "config.loaded": { type: "config.loaded", file: "rackboot.yaml", machines: [machine], volumes: [volume] },
  "config.rejected": { type: "config.rejected", file: "rackboot.yaml", problems: ["rackboot.yaml:1:1: found x; allowed: y"] },
  "service.started": { type: "service.started", service: "tftp", detail: "on 172.16.0.1:69" },
  "fault.raised": { type: "fault.raised", fault: "no-link", reason: "eth0 has no carrier", next: "plug in the cable" },
  "fault.cleared": { type: "fault.cleared", fault: "no-link" },
  "health.measured": { type: "health.measured", temperatureC: 48.5, disk: { device: "sda", usbId: "152d:0578", driver: "uas" } },
  "health.unknown": { type: "health.unknown", reason: "SMART of sda: Unknown USB bridge" },
  "alarm.raised": { type: "alarm.raised", alarm: "hot", reason: "the processor has 82 °C", next: "give the board air" },
  "alarm.eased": { type: "alarm.eased", alarm: "hot" },
  "identify.started": { type: "identify.started", forMs: 60_000 },
  "identify.ended": { type: "identify.ended" },
  "panel.pressed": { type: "panel.pressed", action: "identify" },
  "panel.missing": { type: "panel.missing", part: "the lamp rack (pinctrl-rp1 line 27, pin 13)", reason: "EBUSY" },
  "link.up": { type: "link.up", interface: "eth0", speedMbps: 1000 },
  "link.down": { type: "link.down", interface: "eth0", reason: "no carrier" },
  "clock.jumped": { type: "clock.jumped", byMs: 3_600_000 },
  "service.slipped": { type: "service.slipped", service: "dhcp", reason: "a packet could not be handled" },
  "service.failed": { type: "service.failed", service: "dhcp", reason: "port 67 is in use" },
  "daemon.ready": { type: "daemon.ready" },
  "daemon.stopping": { type: "daemon.stopping", reason: "SIGTERM" },
};

async function logged(format: "text" | "json", level: "info" | "debug"): Promise<string> {
  const destination = new PassThrough();
  const store = new Store({ now: () => Date.UTC(2026, 0, 2, 3, 4, 5) });
  logEvents(store, createLogger({ format, level, destination }));
  for (const event of Object.values(EVENTS)) store.emit(event);
  await new Promise((resolve) => setImmediate(resolve));
  return String(destination.read());
}

it("every event is one sentence that a person understands", () => {
  const lines = Object.values(EVENTS).map((event) => lineOf(event));
  expect(lines.map((line) => (line === undefined ? "(nothing)" : `${line.level}: ${line.sentence}`))).toMatchInlineSnapshot(`
    [
      "debug: stranger 52:54:00:16:00:10 asks for an address (ipxe-bios)",
      "info: uqbar is offered 172.16.0.16 and shimx64.efi",
      "info: uqbar has 172.16.0.16, lease infinite",
      "warn: uqbar is refused an address: it asked for 10.0.0.1",
      "debug: DHCP from somebody is ignored: no DHCP",
      "info: stranger 52:54:00:16:00:10 is held until somebody adopts it: rackboot machine adopt 52:54:00:16:00:10 NAME",
      "warn: 172.16.0.16 is in use by 52:54:00:16:00:10, who was not given it",
      "warn: 172.16.0.16, the server's own address, is also that of 52:54:00:16:00:10",
      "info: 172.16.0.16 is the server's own alone again",
      "info: nobody uses 172.16.0.16 any more",
      "warn: another DHCP server is on this network: 172.16.0.16",
      "info: the other DHCP server 172.16.0.16 is not heard any more",
      "info: uqbar gives 172.16.0.16 back",
      "warn: uqbar declines 172.16.0.16: somebody else uses it",
      "debug: uqbar reads /vmlinuz over tftp (kernel, 7.8 MiB)",
      "(nothing)",
      "info: uqbar has /vmlinuz over tftp (kernel, 7.8 MiB in 4.0 s)",
      "warn: stranger 172.16.0.16 did not get /vmlinuz over tftp: it went silent",
      "info: stranger 172.16.0.16 wrote core (4.0 KiB in 0.0 s)",
      "warn: stranger 172.16.0.16 did not write core: it went silent",
      "debug: stranger 172.16.0.16 finds no /../etc/passwd over http: outside",
      "info: uqbar logs in again to iqn.2026-01.lan.rackboot:uqbar from 172.16.0.16:40312",
      "info: iqn.1994-05.com.redhat:uqbar asks for its targets from 172.16.0.16:40312",
      "warn: 172.16.0.99:1 may not log in to iqn.2026-01.lan.rackboot:uqbar: not its initiator",
      "warn: 172.16.0.99 did not authenticate 4 times: it is refused late from now on",
      "info: uqbar reads its disk",
      "info: uqbar is disconnected: peer-closed",
      "debug: volume uqbar-root has 1.0 GiB in common with its origin (12 ms)",
      "info: volume uqbar-root is open (1T)",
      "error: volume uqbar-root is offline: fdatasync: EIO",
      "error: volume uqbar-root cannot grow: no space left where it is stored",
      "info: volume uqbar-root has room to grow again; it was refused 7 times",
      "info: volume uqbar-root is cloned of golden@v1 (1T, 6 ms)",
      "info: snapshot uqbar-root@monday is taken; its disk waited 12 ms",
      "info: volume uqbar-root is as it was at monday",
      "info: volume uqbar-root is a fresh clone of golden@v1 (6 ms)",
      "info: volume uqbar-root has 2T now",
      "info: volume uqbar-root is called tlon-root now",
      "info: snapshot uqbar-root@monday is deleted",
      "debug: the pool /data (ext4, no reflink: clones are full copies) has 512.0 GiB free of 1024.0 GiB",
      "warn: the pool is 81 % full, 128.0 GiB are free: delete what nobody needs",
      "info: the pool is 70 % full, 256.0 GiB are free",
      "warn: the pool cannot be measured: EIO",
      "warn: 172.16.0.99 sends dhcp that makes no sense: input ends early",
      "info: uqbar boots (uefi-x64-pxe)",
      "info: uqbar has reached up",
      "warn: uqbar gave up its boot at kernel: its firmware asked again",
      "info: uqbar is given Linux 6.2, which its disk wants this time only",
      "warn: uqbar falls back to Linux 6.1: Linux 6.2 did not come up",
      "info: uqbar is handed the installer of RHEL 8.10 (image rhel-8.10)",
      "info: uqbar is installed from image rhel-8.10; it boots its disk from now on",
      "warn: uqbar did not install image rhel-8.10: it started anew",
      "info: image rhel-8.10 is imported: RHEL 8.10 (8.0 GiB)",
      "info: image rhel-8.10 is deleted",
      "warn: uqbar cannot boot: there is no boot loader for UEFI on arm64; install Debian's shim-signed and grub-efi-arm64-signed (of arm64) and restart rackboot, or name a file as boot.loader",
      "warn: uqbar has nothing to boot: there is no partition table",
      "info: configuration rackboot.yaml: 1 machine, 1 volume",
      "error: configuration rackboot.yaml is refused, the one before it stays: rackboot.yaml:1:1: found x; allowed: y",
      "info: tftp: on 172.16.0.1:69",
      "error: fault 3: no network link: eth0 has no carrier. Next: plug in the cable",
      "info: fault 3 is mended: no-link",
      "debug: the board: 48.5 °C, data disk sda",
      "info: not all of the board's health can be known: SMART of sda: Unknown USB bridge",
      "warn: hot: the processor has 82 °C. Next: give the board air",
      "info: hot: all right again",
      "info: all lamps blink for 1m: here I am",
      "info: the lamps show again how things are",
      "info: the button was pressed: identify",
      "warn: the front panel lacks the lamp rack (pinctrl-rp1 line 27, pin 13): EBUSY",
      "info: eth0 has a link of 1000 Mbit/s",
      "warn: eth0 has no link: no carrier",
      "info: the time of day was set forward by 1h",
      "error: dhcp: a packet could not be handled",
      "error: dhcp does not run: port 67 is in use",
      "info: ready",
      "info: stopping: SIGTERM",
    ]
  `);
});

describe("the log", () => {
  it("of a daemon under a supervisor is one JSON object a line, with every field", async () => {
    const lines = (await logged("json", "debug"))
      .trim()
      .split("\n")
      .map((line) => JSON.parse(line) as Record<string, unknown>);
    expect(lines).toHaveLength(Object.keys(EVENTS).length - 1);
    expect(lines[1]).toMatchObject({
      level: "info",
      event: "dhcp.offered",
      machine,
      mac,
      address,
      file: "shimx64.efi",
      msg: expect.any(String),
    });
  });

  it("for people is one line each, without escape sequences where there is no terminal", async () => {
    const lines = (await logged("text", "info")).trim().split("\n");
    expect(lines[0]).toMatch(/^\[\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\] INFO: uqbar is offered 172\.16\.0\.16 and shimx64\.efi$/);
    expect(lines.every((line) => line.startsWith("["))).toBe(true);
    expect(lines.join("")).not.toContain("\u001b");
  });

  it("is not filled by a peer that floods, and says what was left out", async () => {
    const destination = new PassThrough();
    let nowMs = 0;
    const store = new Store({ now: () => nowMs });
    logEvents(store, createLogger({ format: "json", level: "info", destination }));
    for (let index = 0; index < 5000; index++) store.emit(EVENTS["peer.malformed"]);
    nowMs = LINES_WINDOW_MS;
    store.emit(EVENTS["peer.malformed"]);
    await new Promise((resolve) => setImmediate(resolve));
    const lines = String(destination.read()).trim().split("\n");
    expect(lines).toHaveLength(MAX_LINES_OF_A_TYPE + 2);
    expect(lines.at(-2)).toContain("4800 more lines about peer.malformed were left out");
    // The time of day is set back by a day: what happens now is told all the same.
    nowMs -= 86_400_000;
    store.emit(EVENTS["peer.malformed"]);
    await new Promise((resolve) => setImmediate(resolve));
    expect(String(destination.read())).toContain("peer.malformed");
  });

  it("never has how far a file is: that would be thousands of lines", async () => {
    expect(await logged("json", "debug")).not.toContain("transfer.progressed");
  });
});
