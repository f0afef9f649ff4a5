import type { VolumeName } from "../machine/identifiers.ts";
import type { Audience, CommandResult, ConnectionId, DataPlane, VolumeId } from "../native/data-plane.ts";
import { STATUS } from "../scsi/answer.ts";
import { execute } from "../scsi/commands.ts";
import type { Command, CommandContext, LogicalUnit } from "../scsi/logical-unit.ts";
import { withoutUnitReservation } from "../scsi/reservation-steps.ts";
import { type Nexus, type NexusId, NO_RESERVATIONS, nexusId, type Reservations } from "../scsi/reservations.ts";
import { fixedSense, INTERNAL_TARGET_FAILURE } from "../scsi/sense.ts";
import { accessOf } from "../scsi/unit-access.ts";
import { defaultMode, type ModeParameters, type UnitChange, type UnitState } from "../scsi/unit-state.ts";
import type { ReservationStore } from "./reservation-store.ts";

/** A disk inside the data plane. */
export interface ServedUnit extends LogicalUnit {
  readonly id: VolumeId;
}

/** A disk as this service needs it: what its initiator is told, and its name inside the data plane. */
export interface ServedVolume extends ServedUnit {
  readonly name: VolumeName;
}

export interface ServedVolumes {
  get(name: VolumeName): ServedVolume | undefined;
  byId(id: VolumeId): ServedVolume | undefined;
}

/** A session that sees a unit. */
export interface Viewer {
  readonly connection: ConnectionId;
  readonly nexus: Nexus;
}

export interface UnitsParts {
  readonly dataPlane: DataPlane;
  readonly store: ReservationStore;
  readonly viewers: (volume: VolumeId) => Iterable<Viewer>;
}

/**
 * What initiators have set on units, for all sessions that see them: mode parameters, which last as long as the unit is
 * open, and reservations, which belong to the disk. A change is in force in the data plane, and on the data disk where
 * that was asked for, before the command that made it is answered.
 */
export class Units {
  readonly #plane: DataPlane;
  readonly #store: ReservationStore;
  readonly #viewers: UnitsParts["viewers"];
  readonly #modes = new Map<VolumeId, ModeParameters>();
  /** By the disk's NAA identifier: it outlives its being closed and opened. */
  readonly #reservations: Map<string, Reservations>;

  constructor({ dataPlane, store, viewers }: UnitsParts) {
    this.#plane = dataPlane;
    this.#store = store;
    this.#viewers = viewers;
    this.#reservations = new Map(store.load());
  }

  /** Carries out a command of a session; at once where it changes nothing. */
  run(
    command: Command,
    context: Omit<CommandContext, "state" | "unit"> & { readonly unit: ServedUnit | undefined },
    connection: ConnectionId,
  ): CommandResult | Promise<CommandResult> {
    const { unit } = context;
    const { result, change } = execute(command, { ...context, state: unit === undefined ? NO_STATE : this.#stateOf(unit) });
    if (change === undefined || unit === undefined) return result;
    return this.#apply(unit, change, connection).then(
      () => result,
      () => ({ status: STATUS.checkCondition, sense: fixedSense(INTERNAL_TARGET_FAILURE) }),
    );
  }

  /** Sessions that see the unit came, or its file was opened anew: what reservations leave to whom is told to the data plane. */
  refresh(unit: ServedUnit): void {
    const reservations = this.#reservationsOf(unit);
    if (reservations !== NO_RESERVATIONS) void this.#grant(unit, reservations).catch(ignoreClosed);
  }

  /** A session has ended (SPC-2, 5.5.1): what it had by RESERVE(6) is free. */
  nexusLost(units: Iterable<ServedUnit>, nexus: Nexus): void {
    for (const unit of units) this.#release(unit, nexusId(nexus));
  }

  /** A reset (SAM-5, 6.3.3): mode parameters are as they were, and what RESERVE(6) took is free. */
  reset(unit: ServedUnit): void {
    this.#release(unit);
    if (this.#modes.has(unit.id)) void this.#setMode(unit, defaultMode(unit)).catch(ignoreClosed);
  }

  #stateOf(unit: ServedUnit): UnitState {
    return { mode: this.#modes.get(unit.id) ?? defaultMode(unit), reservations: this.#reservationsOf(unit) };
  }

  #reservationsOf(unit: LogicalUnit): Reservations {
    return this.#reservations.get(nameOf(unit)) ?? NO_RESERVATIONS;
  }

  #release(unit: ServedUnit, nexus?: NexusId): void {
    const step = withoutUnitReservation(this.#reservationsOf(unit), nexus);
    const after = "change" in step ? step.change.reservations : undefined;
    if (after === undefined) return;
    this.#reservations.set(nameOf(unit), after);
    void this.#grant(unit, after).catch(ignoreClosed);
  }

  async #apply(unit: ServedUnit, change: UnitChange, by: ConnectionId): Promise<void> {
    if (change.reservations !== undefined) await this.#setReservations(unit, change.reservations);
    if (change.mode !== undefined) await this.#setMode(unit, change.mode);
    if (change.abort !== undefined && change.abort.length > 0) {
      await this.#plane.abortTasks(unit.id, this.#connectionsOf(unit, change.abort));
    }
    for (const { asc, ascq, nexuses } of change.attentions ?? []) {
      const only = nexuses === undefined ? undefined : this.#connectionsOf(unit, nexuses);
      if (only?.length === 0) continue;
      const audience: Audience = only === undefined ? { except: by } : { only };
      this.#plane.raiseUnitAttention(unit.id, asc, ascq, audience);
    }
  }

  /** The next command sees it at once; the data disk comes before the data plane, and both before the answer. */
  #setReservations(unit: ServedUnit, reservations: Reservations): Promise<void> {
    const name = nameOf(unit);
    this.#store.save(name, reservations);
    this.#reservations.set(name, reservations);
    return this.#grant(unit, reservations);
  }

  #grant(unit: ServedUnit, reservations: Reservations): Promise<void> {
    return this.#plane.setAccess(unit.id, accessOf(reservations, this.#viewers(unit.id)));
  }

  #setMode(unit: ServedUnit, mode: ModeParameters): Promise<void> {
    this.#modes.set(unit.id, mode);
    const { writeCache, descriptorSense, writeProtected } = mode;
    return this.#plane.updateVolume(unit.id, { writeCache, descriptorSense, readOnly: writeProtected });
  }

  #connectionsOf(unit: ServedUnit, nexuses: readonly NexusId[]): readonly ConnectionId[] {
    const wanted = new Set(nexuses);
    return [...this.#viewers(unit.id)].filter(({ nexus }) => wanted.has(nexusId(nexus))).map(({ connection }) => connection);
  }
}

/** Of a LUN without a unit. */
const NO_STATE: UnitState = { mode: { writeCache: true, descriptorSense: false, writeProtected: false }, reservations: NO_RESERVATIONS };

function nameOf(unit: LogicalUnit): string {
  return Buffer.from(unit.naa).toString("hex");
}

/** The unit was closed meanwhile, and with it whom it keeps out; anything else is a programming error. */
function ignoreClosed(error: unknown): void {
  if ((error as NodeJS.ErrnoException).code !== "ENOENT" && (error as NodeJS.ErrnoException).code !== "EBADF") throw error;
}
