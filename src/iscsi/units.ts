import type { VolumeName } from "../machine/identifiers.ts";
import type { Audience, CommandResult, ConnectionId, DataPlane, VolumeId } from "../native/data-plane.ts";
import { type Answer, checkCondition, encodeAnswer, good, STATUS } from "../scsi/answer.ts";
import { execute } from "../scsi/commands.ts";
import { NOTHING_COUNTED, type UnitCounters } from "../scsi/log.ts";
import type { Command, CommandContext, LogicalUnit } from "../scsi/logical-unit.ts";
import { withoutUnitReservation } from "../scsi/reservation-steps.ts";
import { conflicts, deniedTo, type Nexus, type NexusId, NO_RESERVATIONS, nexusId, type Reservations } from "../scsi/reservations.ts";
import { COPY_ABORTED, fixedSense, INTERNAL_TARGET_FAILURE, SANITIZE_FAILED } from "../scsi/sense.ts";
import { accessOf } from "../scsi/unit-access.ts";
import { type CopyJob, type CopyResult, type CopySegment, MAX_COPY_RESULTS, type SanitizeJob, type UnitJob } from "../scsi/unit-job.ts";
import {
  defaultMode,
  MEDIUM_PRESENT,
  type MediumState,
  type ModeParameters,
  type UnitChange,
  type UnitState,
  unreadySense,
} from "../scsi/unit-state.ts";
import type { ReservationStore } from "./reservation-store.ts";
import type { SanitizeStore } from "./sanitize-store.ts";
import { copySegments, sanitizeMedium, tellLbaStatus } from "./unit-jobs.ts";

/** A disk inside the data plane. */
export interface ServedUnit extends LogicalUnit {
  readonly id: VolumeId;
  /** Of its file or device. */
  readonly path: string;
}

/** A disk as this service needs it: what its initiator is told, and its name inside the data plane. */
export interface ServedVolume extends ServedUnit {
  readonly name: VolumeName;
}

export interface ServedVolumes {
  get(name: VolumeName): ServedVolume | undefined;
  byId(id: VolumeId): ServedVolume | undefined;
  /** What its file takes, and what its file system has left; undefined for what is no file. */
  provisioned(id: VolumeId): { readonly usedBytes: number; readonly freeBytes: number } | undefined;
}

/** A session that sees a unit. */
export interface Viewer {
  readonly connection: ConnectionId;
  readonly nexus: Nexus;
}

export interface UnitsParts {
  readonly dataPlane: DataPlane;
  readonly store: ReservationStore;
  readonly sanitized: SanitizeStore;
  readonly viewers: (volume: VolumeId) => Iterable<Viewer>;
  readonly provisioned: ServedVolumes["provisioned"];
}

/**
 * What initiators have set on units, for all sessions that see them: mode parameters, which last as long as the unit is
 * open, and reservations, which belong to the disk. A change is in force in the data plane, and on the data disk where
 * that was asked for, before the command that made it is answered.
 */
export class Units {
  readonly #plane: DataPlane;
  readonly #store: ReservationStore;
  readonly #sanitizes: SanitizeStore;
  readonly #viewers: UnitsParts["viewers"];
  readonly #provisioned: UnitsParts["provisioned"];
  readonly #modes = new Map<VolumeId, ModeParameters>();
  readonly #media = new Map<VolumeId, MediumState>();
  readonly #copies = new Map<VolumeId, readonly CopyResult[]>();
  /** By the disk's NAA identifier: it outlives its being closed and opened. */
  readonly #reservations: Map<string, Reservations>;

  constructor({ dataPlane, store, sanitized, viewers, provisioned }: UnitsParts) {
    this.#plane = dataPlane;
    this.#sanitizes = sanitized;
    this.#store = store;
    this.#viewers = viewers;
    this.#provisioned = provisioned;
    this.#reservations = new Map(store.load());
  }

  /** Carries out a command of a session; at once where it changes nothing. */
  run(
    command: Command,
    context: Omit<CommandContext, "state" | "unit" | "units" | "counters"> & JobContext & { readonly unit: ServedUnit | undefined },
    connection: ConnectionId,
  ): CommandResult | Promise<CommandResult> {
    const { unit } = context;
    const state = unit === undefined ? NO_STATE : this.#stateOf(unit);
    const counters = (): UnitCounters => this.#countersOf(unit);
    const { result, change, job } = execute(command, { ...context, state, counters });
    if (unit === undefined) return result;
    if (job !== undefined) {
      return this.#work(unit, job, context).then((answer) => encodeAnswer(answer, state.mode.descriptorSense));
    }
    if (change === undefined) return result;
    return this.#apply(unit, change, connection).then(
      () => result,
      () => ({ status: STATUS.checkCondition, sense: fixedSense(INTERNAL_TARGET_FAILURE) }),
    );
  }

  /**
   * Sessions that see the unit came, or its file was opened anew: what reservations leave to whom is told to the data plane, and what was
   * being sanitized is sanitized again.
   */
  refresh(unit: ServedUnit): void {
    const sanitize = this.#media.has(unit.id) ? undefined : this.#sanitizes.get(nameOf(unit));
    if (sanitize?.failed === true) void this.#setMedium(unit, { ...MEDIUM_PRESENT, sanitizeFailed: true }).catch(ignoreClosed);
    else if (sanitize !== undefined) void this.#sanitize(unit, { kind: "sanitize", passes: sanitize.passes, immediate: true });
    const reservations = this.#reservationsOf(unit);
    if (reservations !== NO_RESERVATIONS) void this.#grant(unit, reservations).catch(ignoreClosed);
  }

  /** A session has ended (SPC-2, 5.5.1; SAM-5, 6.3.4): what it had by RESERVE(6) is free, and it prevents no removal. */
  nexusLost(units: Iterable<ServedUnit>, nexus: Nexus): void {
    for (const unit of units) {
      this.#release(unit, nexusId(nexus));
      this.#allowRemoval(unit, nexusId(nexus));
    }
  }

  /** A reset (SAM-5, 6.3.3): mode parameters are as they were, what RESERVE(6) took is free, and nobody prevents removal. */
  reset(unit: ServedUnit | undefined): void {
    if (unit === undefined) return;
    this.#release(unit);
    this.#allowRemoval(unit);
    if (this.#modes.has(unit.id)) void this.#setMode(unit, defaultMode(unit)).catch(ignoreClosed);
  }

  /** Of units that are closed, nothing but their reservations is kept. */
  forgetClosed(isOpen: (volume: VolumeId) => boolean): void {
    for (const known of [this.#modes, this.#media, this.#copies]) {
      for (const volume of known.keys()) if (!isOpen(volume)) known.delete(volume);
    }
  }

  #countersOf(unit: ServedUnit | undefined): UnitCounters {
    const counted = this.#plane.counters().volumes.find(({ volume }) => volume === unit?.id);
    if (counted === undefined) return NOTHING_COUNTED;
    const { readBytes, writeBytes, errors, readErrors } = counted;
    const room = this.#provisioned(counted.volume);
    return { readBytes, writeBytes, readErrors, writeErrors: errors - readErrors, ...(room && { room }) };
  }

  #stateOf(unit: ServedUnit): UnitState {
    return {
      mode: this.#modes.get(unit.id) ?? defaultMode(unit),
      reservations: this.#reservationsOf(unit),
      medium: this.#mediumOf(unit),
      copies: this.#copies.get(unit.id) ?? [],
    };
  }

  #reservationsOf(unit: LogicalUnit): Reservations {
    return this.#reservations.get(nameOf(unit)) ?? NO_RESERVATIONS;
  }

  #mediumOf(unit: ServedUnit): MediumState {
    return this.#media.get(unit.id) ?? MEDIUM_PRESENT;
  }

  #allowRemoval(unit: ServedUnit, nexus?: NexusId): void {
    const medium = this.#media.get(unit.id);
    if (medium === undefined) return;
    this.#media.set(unit.id, { ...medium, preventing: nexus === undefined ? [] : medium.preventing.filter((other) => other !== nexus) });
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
    if (change.medium !== undefined) await this.#setMedium(unit, change.medium);
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

  /** The data plane hears only of what it has to answer with. */
  async #setMedium(unit: ServedUnit, medium: MediumState): Promise<void> {
    const before = unreadySense(this.#mediumOf(unit));
    const after = unreadySense(medium);
    const same = before?.asc === after?.asc && before?.ascq === after?.ascq && before?.progress === after?.progress;
    if (this.#mediumOf(unit).sanitizeFailed && !medium.sanitizeFailed && medium.sanitizing === undefined) {
      this.#sanitizes.forget(nameOf(unit));
    }
    this.#media.set(unit.id, medium);
    if (!same) await this.#plane.updateVolume(unit.id, { notReady: after ?? null });
  }

  #work(unit: ServedUnit, job: UnitJob, { nexus, units }: JobContext): Promise<Answer> {
    switch (job.kind) {
      case "lba-status":
        return tellLbaStatus(unit, job);
      case "copy":
        return this.#copy(unit, job, nexus, [unit, ...units]);
      case "sanitize":
        return this.#sanitize(unit, job);
    }
  }

  async #copy(unit: ServedUnit, job: CopyJob, nexus: Nexus, units: readonly ServedUnit[]): Promise<Answer> {
    const unitOf = (naa: string): ServedUnit | undefined => units.find((candidate) => nameOf(candidate) === naa);
    const denies = ({ source, destination }: CopySegment): boolean =>
      !this.#leaves(unitOf(source), nexus, "medium") || !this.#leaves(unitOf(destination), nexus, "writes");
    if (job.segments.some(denies)) return checkCondition(COPY_ABORTED);
    let result = await copySegments(this.#plane, job, (naa) => unitOf(naa)?.id);
    if (!(await this.#settled(job.segments.map(({ destination }) => unitOf(destination))))) result = { ...result, failed: true };
    if (job.listId !== undefined) {
      const { listId } = job;
      const others = (this.#copies.get(unit.id) ?? []).filter((known) => known.listId !== listId || known.nexus !== nexusId(nexus));
      this.#copies.set(unit.id, [...others, { ...result, listId, nexus: nexusId(nexus) }].slice(-MAX_COPY_RESULTS));
    }
    return result.failed ? checkCondition(COPY_ABORTED) : good();
  }

  /** Without a write cache, what was copied is on the disk before that is told; false where it cannot be. */
  async #settled(units: readonly (ServedUnit | undefined)[]): Promise<boolean> {
    const uncached = [...new Set(units)].filter((unit) => unit !== undefined).filter((unit) => !this.#stateOf(unit).mode.writeCache);
    const flushed = await Promise.allSettled(uncached.map(({ id }) => this.#plane.flush(id)));
    return flushed.every(({ status }) => status === "fulfilled");
  }

  /** Whether a unit can be read, or written, by this nexus: its medium is there, no reservation and no protection in the way. */
  #leaves(unit: ServedUnit | undefined, nexus: Nexus, need: "medium" | "writes"): boolean {
    if (unit === undefined || unreadySense(this.#mediumOf(unit)) !== undefined) return false;
    if (conflicts(deniedTo(this.#reservationsOf(unit), nexusId(nexus)), need)) return false;
    return need === "medium" || !(this.#modes.get(unit.id) ?? defaultMode(unit)).writeProtected;
  }

  /** Once begun it goes on, whatever becomes of the session, of the command, and of this process (SBC-3, 4.11.2). */
  async #sanitize(unit: ServedUnit, job: SanitizeJob): Promise<Answer> {
    try {
      this.#sanitizes.save(nameOf(unit), { passes: job.passes, failed: false });
    } catch {
      return checkCondition(INTERNAL_TARGET_FAILURE);
    }
    await this.#setMedium(unit, { ...this.#mediumOf(unit), sanitizing: 0, sanitizeFailed: false }).catch(ignoreClosed);
    const progress = (done: number): void => {
      void this.#setMedium(unit, { ...this.#mediumOf(unit), sanitizing: done }).catch(ignoreClosed);
    };
    const ended = sanitizeMedium(this.#plane, unit, job, progress).then(
      () => this.#sanitized(unit, job, false),
      (error: unknown) => (isClosed(error) ? checkCondition(SANITIZE_FAILED) : this.#sanitized(unit, job, true)),
    );
    return job.immediate ? good() : ended;
  }

  async #sanitized(unit: ServedUnit, { passes }: SanitizeJob, failed: boolean): Promise<Answer> {
    const { sanitizing: _done, ...medium } = this.#mediumOf(unit);
    if (failed) this.#sanitizes.save(nameOf(unit), { passes, failed });
    else this.#sanitizes.forget(nameOf(unit));
    await this.#setMedium(unit, { ...medium, sanitizeFailed: failed }).catch(ignoreClosed);
    return failed ? checkCondition(SANITIZE_FAILED) : good();
  }

  #connectionsOf(unit: ServedUnit, nexuses: readonly NexusId[]): readonly ConnectionId[] {
    const wanted = new Set(nexuses);
    return [...this.#viewers(unit.id)].filter(({ nexus }) => wanted.has(nexusId(nexus))).map(({ connection }) => connection);
  }
}

interface JobContext {
  readonly nexus: Nexus;
  readonly units: readonly ServedUnit[];
}

/** Of a LUN without a unit. */
const NO_STATE: UnitState = {
  mode: { writeCache: true, descriptorSense: false, writeProtected: false },
  reservations: NO_RESERVATIONS,
  medium: MEDIUM_PRESENT,
  copies: [],
};

function nameOf(unit: LogicalUnit): string {
  return Buffer.from(unit.naa).toString("hex");
}

/** The unit was closed meanwhile, and with it whom it keeps out; anything else is a programming error. */
function ignoreClosed(error: unknown): void {
  if (!isClosed(error)) throw error;
}

function isClosed(error: unknown): boolean {
  const { code } = error as NodeJS.ErrnoException;
  return code === "ENOENT" || code === "ENODEV" || code === "EBADF" || code === "ECANCELED";
}
