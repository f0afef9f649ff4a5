import type { MachineName } from "../machine/identifiers.ts";
import type { Rack } from "../machine/rack.ts";
import type { ChapSecrets } from "../machine/secrets.ts";
import type { DataPlane, VolumeId } from "../native/data-plane.ts";
import type { Emit } from "../state/events.ts";
import type { WantedPortals } from "./portals.ts";
import type { ReservationStore } from "./reservation-store.ts";
import type { SanitizeStore } from "./sanitize-store.ts";
import type { ServedVolumes } from "./units.ts";

/** What the target is made of, and whom it asks and tells. */
export interface IscsiServerParts {
  readonly dataPlane: DataPlane;
  readonly rack: Rack;
  /** Port 0 lets the system choose, for tests. */
  readonly portals: WantedPortals;
  readonly volumes: ServedVolumes;
  readonly reservations: ReservationStore;
  readonly sanitized: SanitizeStore;
  readonly secretsFor: (machine: MachineName) => ChapSecrets | undefined;
  readonly random: (octets: number) => Uint8Array;
  /** Resolves when the machine's disks are what this login shall see; absent: they always are. Must not reject. */
  readonly ready?: (machine: MachineName, reconnects: boolean) => Promise<void>;
  /** A write to the volume found no room; told again and again. */
  readonly onFull?: (volume: VolumeId) => void;
  readonly emit: Emit;
}
