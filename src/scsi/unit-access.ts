import type { ConnectionId, VolumeAccess } from "../native/data-plane.ts";
import { deniedTo, deniedToOthers, type Nexus, nexusId, type Reservations } from "./reservations.ts";

/** What the data plane is told of reservations: what is denied, and to which of those that see the unit it is not. */
export function accessOf(
  reservations: Reservations,
  viewers: Iterable<{ readonly connection: ConnectionId; readonly nexus: Nexus }>,
): VolumeAccess {
  const denied = deniedToOthers(reservations);
  const exempt =
    denied === "nothing"
      ? []
      : [...viewers].filter(({ nexus }) => deniedTo(reservations, nexusId(nexus)) === "nothing").map(({ connection }) => connection);
  return { denied, exempt };
}
