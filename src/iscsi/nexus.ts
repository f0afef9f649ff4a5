import type { Ipv4, Iqn, MachineName } from "../machine/identifiers.ts";
import type { Machine } from "../machine/machine.ts";
import { mayLogIn } from "../machine/rack.ts";
import type { CloseReason, ConnectionId, LunMapping } from "../native/data-plane.ts";
import type { Nexus as ScsiNexus } from "../scsi/reservations.ts";
import { targetPortName } from "../scsi/reserve.ts";
import type { LoginDone } from "./login.ts";
import type { Nexus } from "./sessions.ts";
import type { ServedVolumes } from "./units.ts";

/** What a login makes of a session, absent in discovery. */
export function nexusOf({ initiator, isid, machine }: LoginDone, portalTag: number): Nexus | undefined {
  return machine === undefined ? undefined : { initiator, isid, target: machine.target, portalTag, machine: machine.name };
}

/** Initiator port and target port in the words of SCSI (RFC 7143, 4.4.1.2; SPC-4, 7.6.4.6). */
export function scsiNexus({ initiator, isid }: LoginDone, target: Iqn, portalTag: number): ScsiNexus {
  return { initiatorPort: `${initiator},i,0x${isid}`, targetPort: targetPortName(target, portalTag), portalTag };
}

/** Whether a session that was let in under `before` would be let in under `after` as it is. */
export function keepsAccess(before: Machine, after: Machine, initiator: Iqn, from: Ipv4): boolean {
  return before.name === after.name && before.target === after.target && mayLogIn(after, initiator, from) && (before.chap || !after.chap);
}

/** The disks of a machine that are there, by their place in its configuration. */
export function lunsOf(machine: Machine, volumes: ServedVolumes): readonly LunMapping[] {
  return machine.disks.flatMap((name, lun) => {
    const volume = volumes.get(name);
    return volume === undefined ? [] : [{ lun, volume: volume.id, readOnly: volume.config.readOnly }];
  });
}

export function sameLuns(a: readonly LunMapping[], b: readonly LunMapping[]): boolean {
  return JSON.stringify(a) === JSON.stringify(b);
}

/** A reason of one word for metrics stands first; the detail is for people. */
export function closing(reason: CloseReason, detail: string): string {
  return detail === "" ? reason : `${reason}: ${detail}`;
}

/** A session as `rackboot status` shows it. */
export interface SessionFacts {
  readonly connection: ConnectionId;
  readonly initiator: Iqn;
  /** Absent in a discovery session. */
  readonly machine?: MachineName;
  readonly peer: string;
}
