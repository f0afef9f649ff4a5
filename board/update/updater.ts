import { readFile } from "node:fs/promises";
import type { UpdateProgress, UpdateSlot, UpdateStatus, Updates } from "../../src/control/update-operations.ts";
import type { Faults } from "../../src/state/faults.ts";
import type { Store } from "../../src/state/store.ts";
import type { SlotCard } from "./card.ts";
import { installBundle, installedVersions, type RaucOptions } from "./rauc.ts";
import { attempt, confirm, dismiss, isConfirmed, isWhole, otherSlot, SignatureError, SlotError, type Slots, started } from "./slots.ts";

/** A daemon that is READY and dies at once is no reason to keep an update: READY has to last this long. */
export const STEADY_MS = 10_000;

export interface UpdaterParts {
  readonly card: SlotCard;
  /** Of the daemon that runs. */
  readonly version: string;
  /** Where RAUC keeps what it has installed (its `statusfile`). */
  readonly statusFile: string;
  /** Asks init for an orderly restart; `tryOther`: the boot loader takes the other slot, once. */
  readonly reboot: (tryOther: boolean) => Promise<void>;
  readonly faults: Faults;
  readonly store: Store;
  readonly rauc?: Pick<RaucOptions, "arguments">;
  readonly steadyMs?: number;
}

const CAUSE = "slot";
/** Somebody may try to have this board run what is not ours: that is told until a person has seen it. */
const BUNDLE = "bundle";
const DISTRUSTED_NEXT = 'find out whose it is; "rackboot update confirm" puts the light out';

/** Updates of a board that was started from a card of ours. */
export class Updater implements Updates {
  readonly #parts: UpdaterParts;
  #installing = false;

  constructor(parts: UpdaterParts) {
    this.#parts = parts;
  }

  /** Finds out how the last attempt ended, and keeps the system that runs once it is READY. Returns the way out. Never throws. */
  async start(): Promise<() => void> {
    const { card } = this.#parts;
    try {
      const slots = await card.read();
      const next = started(slots, card.running);
      if (next !== slots) await card.write(next);
      this.#tell(next);
      return isConfirmed(next, card.running) ? () => undefined : this.#confirmWhenReady();
    } catch (cause) {
      this.#failed(cause);
      return () => undefined;
    }
  }

  #confirmWhenReady(): () => void {
    const { store, steadyMs = STEADY_MS } = this.#parts;
    let timer: NodeJS.Timeout | undefined;
    const look = (): void => {
      const { daemon, faults } = store.snapshot();
      const ready = daemon.phase === "ready" && faults["service-stopped"] === undefined;
      if (!ready) {
        clearTimeout(timer);
        timer = undefined;
      }
      if (!ready || timer !== undefined) return;
      timer = setTimeout(() => {
        end();
        this.confirm().catch((cause: unknown) => this.#failed(cause));
      }, steadyMs);
    };
    const unsubscribe = store.subscribe(look);
    const end = (): void => {
      clearTimeout(timer);
      unsubscribe();
    };
    look();
    return end;
  }

  async status(): Promise<UpdateStatus> {
    const { card, version, statusFile } = this.#parts;
    const slots = await card.read();
    const versions = installedVersions(await readFile(statusFile, "utf8").catch(() => ""));
    return {
      slots: (["a", "b"] as const).map((name, index): UpdateSlot => {
        const running = name === card.running;
        const state = slots.states[name];
        const known = running ? version : isWhole(state) || state === "failed" ? versions.get(`root.${index}`) : undefined;
        return { name, running, primary: slots.primary === name, state, ...(known !== undefined && { version: known }) };
      }),
      confirmed: isConfirmed(slots, card.running),
      installing: this.#installing,
    };
  }

  async install(
    file: string,
    { restart = false, onProgress }: { readonly restart?: boolean; readonly onProgress?: (progress: UpdateProgress) => void } = {},
  ): Promise<UpdateStatus> {
    const { card, rauc, faults } = this.#parts;
    if (this.#installing) throw new SlotError("another update is being installed; wait until it is done");
    if (!isConfirmed(await card.read(), card.running)) {
      throw new SlotError("the system that runs is itself on trial; wait until it is confirmed, then install");
    }
    this.#installing = true;
    try {
      await installBundle(file, { ...rauc, ...(onProgress !== undefined && { onProgress }) });
      faults.clear("update-failed", BUNDLE);
    } catch (cause) {
      if (cause instanceof SignatureError) faults.raise("update-failed", BUNDLE, { reason: cause.message, next: DISTRUSTED_NEXT });
      throw cause;
    } finally {
      this.#installing = false;
      this.#tell(await card.read());
    }
    return restart ? await this.restart() : await this.status();
  }

  async restart(): Promise<UpdateStatus> {
    const { card } = this.#parts;
    const slots = await card.read();
    const idle = slots.states[otherSlot(card.running)];
    if (idle === "good") throw new SlotError('nothing new is installed; "rackboot update rollback" goes back to the system before');
    return await this.#try(slots);
  }

  async rollback(): Promise<UpdateStatus> {
    const { card, reboot } = this.#parts;
    const slots = await card.read();
    if (isConfirmed(slots, card.running)) {
      if (slots.states[otherSlot(card.running)] !== "good") {
        throw new SlotError("there is no system before this one that was READY once; install the one that you want as an update");
      }
      return await this.#try(slots);
    }
    const status = await this.status();
    await reboot(false);
    return status;
  }

  async #try(slots: Slots): Promise<UpdateStatus> {
    const { card, reboot } = this.#parts;
    if (this.#installing) throw new SlotError("an update is being installed; wait until it is done");
    await card.write(attempt(slots, card.running));
    const status = await this.status();
    await reboot(true);
    return status;
  }

  async confirm(): Promise<UpdateStatus> {
    const { card } = this.#parts;
    if (this.#installing) throw new SlotError("an update is being installed; wait until it is done");
    const slots = await card.read();
    const next = isConfirmed(slots, card.running) ? dismiss(slots) : confirm(slots, card.running);
    if (next !== slots) await card.write(next);
    this.#parts.faults.clear("update-failed", BUNDLE);
    this.#tell(next);
    return await this.status();
  }

  /** Fault 7 stands until another update is on the card, or a person has said that this system is to be kept. */
  #tell(slots: Slots): void {
    const { card, faults } = this.#parts;
    const idle = otherSlot(card.running);
    const reason = isConfirmed(slots, card.running) ? FAILURES[slots.states[idle]] : undefined;
    if (reason === undefined) faults.clear("update-failed", CAUSE);
    else
      faults.raise("update-failed", CAUSE, { reason, next: 'install the update again, or "rackboot update confirm" to keep this system' });
  }

  #failed(cause: unknown): void {
    this.#parts.faults.raise("update-failed", CAUSE, { reason: cause instanceof Error ? cause.message : String(cause) });
  }
}

const FAILURES: Partial<Record<UpdateSlot["state"], string>> = {
  failed: "the new system was started and did not become READY, or the power was cut before it did",
  writing: "the update was cut off while it was written",
};
