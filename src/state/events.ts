import type { EntryReason } from "../machine/boot-entries.ts";
import type { BootStage } from "../machine/boots.ts";
import type { FirmwareKind } from "../machine/firmware.ts";
import type { ImageName, Ipv4, Iqn, Mac, MachineName, VolumeName } from "../machine/identifiers.ts";
import type { PoolReport } from "../machine/volume.ts";
import type { FaultName } from "./faults.ts";
import type { AlarmName, Health } from "./health.ts";

export { BOOT_STAGES, type BootStage } from "../machine/boots.ts";

/** What a file is to a boot; the timeline's stages are read from it. */
export type FileRole = "loader" | "config" | "kernel" | "initramfs" | "other";
export type Transport = "tftp" | "http";

interface Who {
  /** Absent where the peer is no machine of ours. */
  readonly machine?: MachineName;
}

/** What hardware says of itself when it asks for an address; none of it is to be trusted. */
export interface Identity {
  readonly firmware?: FirmwareKind;
  /** Option 60. */
  readonly vendorClass?: string;
  /** Option 93, its first number. */
  readonly architecture?: number;
  /** Option 97, in the order of the wire. */
  readonly uuid?: string;
  /** The PCI identifier of its network card (`8086:10d3`); only iPXE says it. */
  readonly card?: string;
}

/**
 * Everything that happens, as plain data. Services emit; the reducer is the only reader that makes state of it, the log
 * the only one that makes sentences of it. An event says what was, never what somebody should do.
 */
export type StateEvent =
  // DHCP. `firmware` is absent when an initramfs or a running system asks.
  | (Who & { readonly type: "dhcp.discovered"; readonly mac: Mac } & Identity)
  | (Who & {
      readonly type: "dhcp.offered";
      readonly mac: Mac;
      readonly address: Ipv4;
      readonly firmware?: FirmwareKind;
      readonly file?: string;
    })
  | (Who & {
      readonly type: "dhcp.acknowledged";
      readonly mac: Mac;
      readonly address: Ipv4;
      readonly firmware?: FirmwareKind;
      readonly leaseMs: number;
    })
  | (Who & { readonly type: "dhcp.refused"; readonly mac: Mac; readonly reason: string })
  /** No machine has this MAC address, and somebody shall decide: it is held until it is adopted, and gets nothing. */
  | ({ readonly type: "dhcp.pending"; readonly mac: Mac } & Identity)
  | (Who & { readonly type: "dhcp.ignored"; readonly mac?: Mac; readonly reason: string })
  | (Who & { readonly type: "dhcp.released"; readonly mac: Mac; readonly address: Ipv4 })
  | (Who & { readonly type: "dhcp.declined"; readonly mac: Mac; readonly address: Ipv4 })
  /** Somebody uses an address that is ours to give; `mac` where it is known. */
  | { readonly type: "dhcp.conflict"; readonly address: Ipv4; readonly mac?: Mac }
  | { readonly type: "dhcp.conflictOver"; readonly address: Ipv4 }
  /** Another server gives addresses or boot files on this network. */
  | { readonly type: "dhcp.rogue"; readonly server: Ipv4; readonly mac?: Mac }
  | { readonly type: "dhcp.rogueGone"; readonly server: Ipv4 }
  /** Another host has network.address as well. */
  | { readonly type: "network.conflict"; readonly address: Ipv4; readonly mac: Mac }
  | { readonly type: "network.conflictOver"; readonly address: Ipv4 }
  // Boot files, over TFTP and HTTP alike. `transfer` is unique while the daemon runs.
  | (Who & {
      readonly type: "transfer.started";
      readonly transfer: number;
      readonly transport: Transport;
      readonly address: Ipv4;
      readonly path: string;
      readonly role: FileRole;
      readonly sizeBytes: number;
    })
  | (Who & { readonly type: "transfer.progressed"; readonly transfer: number; readonly sentBytes: number })
  | (Who & {
      readonly type: "transfer.finished";
      readonly transfer: number;
      readonly transport: Transport;
      readonly address: Ipv4;
      readonly path: string;
      readonly role: FileRole;
      readonly sentBytes: number;
      readonly elapsedMs: number;
    })
  | (Who & {
      readonly type: "transfer.failed";
      readonly transfer: number;
      readonly transport: Transport;
      readonly address: Ipv4;
      readonly path: string;
      readonly role: FileRole;
      readonly reason: string;
    })
  | (Who & {
      readonly type: "file.refused";
      readonly transport: Transport;
      readonly address: Ipv4;
      readonly path: string;
      readonly reason: string;
    })
  // A file that a client wrote (tftp.upload).
  | (Who & {
      readonly type: "upload.finished";
      readonly address: Ipv4;
      readonly path: string;
      readonly sizeBytes: number;
      readonly elapsedMs: number;
    })
  | (Who & { readonly type: "upload.failed"; readonly address: Ipv4; readonly path: string; readonly reason: string })
  // iSCSI. `connection` is unique while the daemon runs.
  | (Who & {
      readonly type: "iscsi.login";
      readonly connection: number;
      readonly initiator: Iqn;
      readonly target: Iqn;
      readonly peer: string;
      readonly reinstated: boolean;
    })
  | (Who & { readonly type: "iscsi.discovery"; readonly connection: number; readonly initiator: Iqn; readonly peer: string })
  | (Who & {
      readonly type: "iscsi.refused";
      readonly initiator?: string;
      readonly target?: string;
      readonly peer: string;
      readonly reason: string;
    })
  /** An address failed to authenticate again and again; from now on it is refused late. */
  | { readonly type: "iscsi.slowed"; readonly peer: string; readonly failures: number }
  | (Who & { readonly type: "iscsi.firstRead"; readonly connection: number })
  | (Who & { readonly type: "iscsi.closed"; readonly connection: number; readonly reason: string })
  // Disks.
  | { readonly type: "volume.opened"; readonly volume: VolumeName; readonly sizeBytes: number }
  /** `storage`: what it is stored on failed while it was served; otherwise it could not be opened or made. */
  | { readonly type: "volume.failed"; readonly volume: VolumeName; readonly reason: string; readonly storage?: true }
  | { readonly type: "volume.full"; readonly volume: VolumeName }
  /** There is room again; `refusals` is how often there was none, counted once a second at most. */
  | { readonly type: "volume.eased"; readonly volume: VolumeName; readonly refusals: number }
  /** So much of a clone is read through the pages of its origin, until it is written. */
  | { readonly type: "volume.shared"; readonly volume: VolumeName; readonly sharedBytes: number; readonly elapsedMs: number }
  | {
      readonly type: "volume.made";
      readonly volume: VolumeName;
      readonly how: "created" | "cloned" | "imported";
      /** Of a clone. */
      readonly origin?: string;
      readonly sizeBytes: number;
      readonly elapsedMs: number;
    }
  /** `pauseMs`: for how long its sessions were held back. */
  | { readonly type: "volume.snapshot"; readonly volume: VolumeName; readonly snapshot: VolumeName; readonly pauseMs: number }
  | { readonly type: "volume.rolledBack"; readonly volume: VolumeName; readonly snapshot: VolumeName }
  /** A clone was thrown away and made anew: for a boot of an ephemeral machine, or by a reset. */
  | { readonly type: "volume.renewed"; readonly volume: VolumeName; readonly origin: string; readonly elapsedMs: number }
  | { readonly type: "volume.resized"; readonly volume: VolumeName; readonly sizeBytes: number }
  | { readonly type: "volume.renamed"; readonly volume: VolumeName; readonly to: VolumeName }
  | { readonly type: "volume.deleted"; readonly volume: VolumeName; readonly snapshot?: VolumeName }
  // Installation media.
  | { readonly type: "image.imported"; readonly image: ImageName; readonly system: string; readonly sizeBytes: number }
  | { readonly type: "image.deleted"; readonly image: ImageName }
  // What the disks are stored on.
  | ({ readonly type: "pool.measured" } & PoolReport)
  /** Fuller than a threshold: 80 or 95 percent. */
  | { readonly type: "pool.filling"; readonly percent: number; readonly freeBytes: number }
  | { readonly type: "pool.eased"; readonly percent: number; readonly freeBytes: number }
  | { readonly type: "pool.unknown"; readonly reason: string }
  // A malformed packet: a counter, and a reason a person can read.
  | {
      readonly type: "peer.malformed";
      readonly service: "dhcp" | "tftp" | "http" | "iscsi";
      readonly peer: string;
      readonly reason: string;
    }
  // The boot object (machine/boots.ts).
  | { readonly type: "boot.began"; readonly machine: MachineName; readonly boot: number; readonly firmware?: FirmwareKind }
  | { readonly type: "boot.reached"; readonly machine: MachineName; readonly boot: number; readonly stage: BootStage }
  | {
      readonly type: "boot.abandoned";
      readonly machine: MachineName;
      readonly boot: number;
      readonly stage: BootStage;
      readonly reason: string;
    }
  // What a machine that boots from its disk was given.
  | {
      readonly type: "boot.entry";
      readonly machine: MachineName;
      readonly boot: number;
      readonly entry: string;
      readonly because: Exclude<EntryReason, "fell-back">;
    }
  /** `failed` is what the disk says; it did not come up, so the machine was given what came up last. */
  | {
      readonly type: "boot.fellBack";
      readonly machine: MachineName;
      readonly boot: number;
      readonly entry: string;
      readonly failed: string;
    }
  /** The machine was handed an installer; `system` is what it installs. */
  | {
      readonly type: "boot.installing";
      readonly machine: MachineName;
      readonly boot: number;
      readonly image: ImageName;
      readonly system: string;
    }
  /** The installer said that it is done: the machine boots its disk from now on. */
  | { readonly type: "boot.installed"; readonly machine: MachineName; readonly boot: number; readonly image: ImageName }
  | {
      readonly type: "boot.installFailed";
      readonly machine: MachineName;
      readonly boot: number;
      readonly image: ImageName;
      readonly reason: string;
    }
  /** Its firmware wants a boot loader that neither what it boots nor this system has. */
  | { readonly type: "boot.noLoader"; readonly machine: MachineName; readonly boot: number; readonly firmware: FirmwareKind }
  /** The disk has nothing that can be booted; `reason` says where it was looked for. */
  | { readonly type: "boot.nothing"; readonly machine: MachineName; readonly boot: number; readonly reason: string }
  // The daemon itself.
  | {
      readonly type: "config.loaded";
      readonly file: string;
      readonly machines: readonly MachineName[];
      /** Of all of them. */
      readonly macs?: readonly Mac[];
      readonly volumes: readonly VolumeName[];
    }
  | { readonly type: "config.rejected"; readonly file: string; readonly problems: readonly string[] }
  | { readonly type: "service.started"; readonly service: string; readonly detail: string }
  /** It does not do its work any more, until it is started again. */
  | { readonly type: "service.failed"; readonly service: string; readonly reason: string }
  /** One thing went wrong that a service should have done; it goes on. */
  | { readonly type: "service.slipped"; readonly service: string; readonly reason: string }
  /** The cable of the rack's interface; told at the start and when it changes. `speedMbps` where the driver knows it. */
  | { readonly type: "link.up"; readonly interface: string; readonly speedMbps?: number }
  | { readonly type: "link.down"; readonly interface: string; readonly reason: string }
  // The front panel. `forMs`: all lamps blink for so long.
  | { readonly type: "identify.started"; readonly forMs: number }
  | { readonly type: "identify.ended" }
  | { readonly type: "panel.pressed"; readonly action: "identify" | "shutdown" }
  /** A lamp or the button that the board should have; the others work. */
  | { readonly type: "panel.missing"; readonly part: string; readonly reason: string }
  // The board's health: what is measured, when it changes by more than a flutter, and what is not as it should be.
  | ({ readonly type: "health.measured" } & Health)
  | { readonly type: "health.unknown"; readonly reason: string }
  | { readonly type: "alarm.raised"; readonly alarm: AlarmName; readonly reason: string; readonly next: string }
  | { readonly type: "alarm.eased"; readonly alarm: AlarmName }
  // The numbered faults (faults.ts), which the light on the front blinks.
  | { readonly type: "fault.raised"; readonly fault: FaultName; readonly reason: string; readonly next: string }
  | { readonly type: "fault.cleared"; readonly fault: FaultName }
  /** Somebody set the time of day; what was measured in durations goes on. */
  | { readonly type: "clock.jumped"; readonly byMs: number }
  | { readonly type: "daemon.ready" }
  | { readonly type: "daemon.stopping"; readonly reason: string };

export type EventType = StateEvent["type"];

/** An event with the time it happened at, in milliseconds since the epoch. */
export type TimedEvent = StateEvent & { readonly atMs: number };

/** What a service is given to tell what happened. It never throws and never blocks. */
export type Emit = (event: StateEvent) => void;
