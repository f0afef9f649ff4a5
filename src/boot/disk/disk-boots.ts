import type { EntriesReport, MoveReport } from "../../machine/boot-entries.ts";
import type { MachineName, VolumeName } from "../../machine/identifiers.ts";
import type { Machine } from "../../machine/machine.ts";
import type { Emit, TimedEvent } from "../../state/events.ts";
import { LookError } from "../../volume/look/error.ts";
import type { LoaderInspector } from "../file-system.ts";
import type { BootPlan, FileOrigin } from "../plan.ts";
import { configuredPlan, nothing } from "../plan.ts";
import { loaderChains } from "./chains.ts";
import { checkMove } from "./check-move.ts";
import type { DiskEntry, DiskFile, DiskFindings } from "./disk-boot.ts";
import { diskPlan } from "./disk-plan.ts";
import type { DiskLooks } from "./looks.ts";
import { cameUp, choose, type DiskMemory, entryName, failed, replaced, type Settled, settle } from "./memory.ts";
import type { DiskMemories } from "./memory-store.ts";
import { DiskSource } from "./source.ts";

export interface DiskBootsParts {
  readonly looks: DiskLooks;
  readonly memories: DiskMemories;
  readonly inspector: LoaderInspector;
  /** The file of a machine's volume, once nothing is being done to it; undefined where it is not served. */
  readonly pathOf: (machine: MachineName, volume: VolumeName) => Promise<string | undefined>;
  /** The boot that the machine is in; undefined where it does not boot. */
  readonly bootOf: (machine: MachineName) => number | undefined;
  /** What the machine is handed: {@link DiskBoots.plan}, or that of an image. Never rejects. */
  readonly planOf: (machine: Machine) => Promise<BootPlan>;
  readonly firstDiskOf: (machine: MachineName) => VolumeName | undefined;
  readonly emit: Emit;
}

interface Found {
  readonly volume: VolumeName;
  readonly path: string;
  readonly findings: DiskFindings;
}

/** What every machine with `boot: disk` is handed: its disk is asked, and what became of earlier boots is remembered. */
export class DiskBoots {
  readonly #parts: DiskBootsParts;
  /** The latest boot of which was told what it gets, or that there is nothing. */
  readonly #told = new Map<MachineName, string>();

  constructor(parts: DiskBootsParts) {
    this.#parts = parts;
  }

  /** A boot began: the answer shall be there when the boot loader asks. Never rejects. */
  async prepare(machine: Machine): Promise<void> {
    const plan = configuredPlan(machine) ?? (await this.#parts.planOf(machine));
    if (plan.kind !== "nothing") return;
    const boot = this.#parts.bootOf(machine.name);
    const reason = [plan.reason, ...plan.notes].join(" ");
    if (boot === undefined || !this.#tellOnce(machine, `${boot}: ${reason}`)) return;
    this.#parts.emit({ type: "boot.nothing", machine: machine.name, boot, reason });
  }

  /** Never rejects: what keeps the disk from being read is the plan's reason. */
  async plan(machine: Machine): Promise<BootPlan> {
    try {
      const { volume, path, findings } = await this.#find(machine);
      const originOf = (file: DiskFile): FileOrigin => this.#origin(path, file);
      const settled = this.#settle(machine, volume, findings);
      const plan = diskPlan(findings, settled, originOf, await loaderChains(findings, originOf, this.#parts.inspector));
      return plan.kind !== "kernel" ? plan : { ...plan, handedOut: () => this.#handedOut(machine, volume, findings) };
    } catch (cause) {
      return nothing(`the first disk of ${machine.name} cannot be looked into: ${(cause as Error).message}`);
    }
  }

  /** Rejects with a sentence for people where the disk cannot be read. */
  async entries(machine: Machine): Promise<EntriesReport> {
    const { volume, findings } = await this.#find(machine);
    const settled = this.#settle(machine, volume, findings);
    return {
      volume,
      entries: findings.entries.map(({ title, id, kernel, arguments: line }) => ({ title, id, kernel: kernel.path, arguments: line })),
      unifiedKernels: findings.unifiedKernels.map((file) => file.path),
      notes: [...findings.notes, ...(settled?.note === undefined ? [] : [settled.note])],
      ...(settled === undefined
        ? {}
        : {
            next: {
              index: settled.index,
              because: settled.because,
              ...(settled.failed === undefined ? {} : { failed: settled.failed.title }),
            },
          }),
    };
  }

  /** The machine boots this entry, next time or from now on; undefined: what its disk says. Returns the report as it is then. */
  async choose(machine: Machine, index: number | undefined, once: boolean): Promise<EntriesReport> {
    const { volume, findings } = await this.#find(machine);
    const entry = index === undefined ? undefined : entryAt(volume, findings, index);
    const { memories } = this.#parts;
    memories.set(volume, choose(memories.get(volume), entry === undefined ? undefined : entryName(entry), once));
    return this.entries(machine);
  }

  /** Whether what the machine boots next, or this entry, would boot on hardware with these network cards. */
  async check(machine: Machine, nics: readonly string[], index: number | undefined): Promise<MoveReport> {
    const { volume, path, findings } = await this.#find(machine);
    const chosen = index ?? this.#settle(machine, volume, findings)?.index ?? 0;
    return { volume, nics, ...(await checkMove(await this.#parts.looks.open(path), entryAt(volume, findings, chosen), nics)) };
  }

  /** What happened to machines and disks, as far as it has to be remembered. */
  handle(event: TimedEvent): void {
    const { memories } = this.#parts;
    switch (event.type) {
      case "boot.abandoned":
      case "boot.reached": {
        if (event.type === "boot.reached" && event.stage !== "up") return;
        const volume = this.#parts.firstDiskOf(event.machine);
        if (volume === undefined) return;
        const learn = event.type === "boot.abandoned" ? failed : cameUp;
        this.#remember(volume, learn(memories.get(volume), event.boot));
        return;
      }
      case "volume.rolledBack":
        this.#remember(event.volume, replaced(memories.get(event.volume)));
        return;
      case "volume.renamed":
        this.#parts.looks.forget(event.volume);
        memories.rename(event.volume, event.to);
        return;
      case "volume.deleted":
        if (event.snapshot !== undefined) return;
        this.#parts.looks.forget(event.volume);
        memories.forget(event.volume);
        return;
    }
  }

  async #find(machine: Machine): Promise<Found> {
    const [volume] = machine.disks;
    if (volume === undefined) throw new LookError("not-found", `${machine.name} has no disks`);
    const path = await this.#parts.pathOf(machine.name, volume);
    if (path === undefined) throw new LookError("not-found", `the volume ${volume} is not served`);
    return { volume, path, findings: await this.#parts.looks.find(volume, path) };
  }

  #settle(machine: Machine, volume: VolumeName, findings: DiskFindings): Settled | undefined {
    return settle(findings, this.#parts.memories.get(volume), this.#parts.bootOf(machine.name));
  }

  /** A menu with its default was made for the machine: that counts as this boot's entry. */
  #handedOut(machine: Machine, volume: VolumeName, findings: DiskFindings): void {
    const { bootOf, emit } = this.#parts;
    const boot = bootOf(machine.name);
    const settled = this.#settle(machine, volume, findings);
    if (boot === undefined || settled === undefined) return;
    this.#remember(volume, settled.after);
    const { because, failed: gaveWay } = settled;
    const told = { machine: machine.name, boot, entry: settled.entry.title };
    if (!this.#tellOnce(machine, `${boot}: ${settled.index} ${told.entry}`)) return;
    if (because !== "fell-back") emit({ type: "boot.entry", ...told, because });
    else emit({ type: "boot.fellBack", ...told, failed: gaveWay?.title ?? "" });
  }

  /** A data disk that is full or gone keeps no machine from booting. */
  #remember(volume: VolumeName, memory: DiskMemory): void {
    try {
      this.#parts.memories.set(volume, memory);
    } catch (cause) {
      const reason = `what became of the boots of ${volume} cannot be written: ${(cause as Error).message}`;
      this.#parts.emit({ type: "service.slipped", service: "boot memory", reason });
    }
  }

  #tellOnce(machine: Machine, what: string): boolean {
    if (this.#told.get(machine.name) === what) return false;
    this.#told.set(machine.name, what);
    return true;
  }

  #origin(path: string, file: DiskFile): FileOrigin {
    const open = async (): Promise<DiskSource> => new DiskSource(await this.#parts.looks.open(path), file);
    return { kind: "disk", path: file.path, sizeBytes: file.sizeBytes, open };
  }
}

function entryAt(volume: VolumeName, { entries }: DiskFindings, index: number): DiskEntry {
  const entry = entries[index];
  if (entry !== undefined) return entry;
  const count = entries.length;
  throw new LookError("not-found", `${volume} has no entry ${index}; it has ${count === 0 ? "none at all" : `0 to ${count - 1}`}`);
}
