import { z } from "zod";
import { ControlError } from "./errors.ts";
import { call, type Operations, stream } from "./operation.ts";
import type { Work } from "./volume-operations.ts";
import { workAsStream } from "./work.ts";

/** One half of the card. */
export interface UpdateSlot {
  readonly name: "a" | "b";
  readonly running: boolean;
  /** What a start from power-off takes. */
  readonly primary: boolean;
  /** `empty`, `writing` (or cut off while it was), `installed` (not started yet), `trying`, `good`, `failed`. */
  readonly state: "empty" | "writing" | "installed" | "trying" | "good" | "failed";
  /** Absent where nobody knows. */
  readonly version?: string;
}

export interface UpdateStatus {
  readonly slots: readonly UpdateSlot[];
  /** False while the system that runs is on trial. */
  readonly confirmed: boolean;
  readonly installing: boolean;
}

export interface UpdateProgress {
  readonly percent: number;
  /** In RAUC's words. */
  readonly step: string;
}

/** What a board does to its own system. All of it throws errors whose `code` is ERR_UPDATE. */
export interface Updates {
  status(): Promise<UpdateStatus>;
  /** Writes the idle slot from a signed bundle. It goes on when nobody watches. `restart`: and tries it at once. */
  install(
    file: string,
    options: { readonly restart?: boolean; readonly onProgress?: (progress: UpdateProgress) => void },
  ): Promise<UpdateStatus>;
  /** Restarts into what was installed; it stays if it becomes READY. */
  restart(): Promise<UpdateStatus>;
  /** Restarts into the system before. Of one that is on trial, that is simply the way back. */
  rollback(): Promise<UpdateStatus>;
  /** Keeps the system that runs, and forgets an update that failed. */
  confirm(): Promise<UpdateStatus>;
}

const inputs = {
  nothing: z.strictObject({}),
  install: z.strictObject({ path: z.string().min(1).max(4096), restart: z.boolean().exactOptional() }),
};

interface Call<I, O> {
  readonly input: I;
  readonly output: O;
}
type Nothing = Readonly<Record<string, never>>;

/** For typed clients. */
export interface UpdateCalls {
  readonly "update.status": Call<Nothing, UpdateStatus>;
  readonly "update.restart": Call<Nothing, UpdateStatus>;
  readonly "update.rollback": Call<Nothing, UpdateStatus>;
  readonly "update.confirm": Call<Nothing, UpdateStatus>;
}

export interface UpdateStreams {
  readonly "update.install": Call<{ readonly path: string; readonly restart?: boolean }, Work<UpdateStatus, UpdateProgress>>;
}

/** The operations about the board's own system. Without `updates` they are there, and say that this is no appliance. */
export function updateOperations(updates: Updates | undefined): Operations {
  return {
    "update.status": call(inputs.nothing, () => told(updates, (board) => board.status())),
    "update.restart": call(inputs.nothing, () => told(updates, (board) => board.restart())),
    "update.rollback": call(inputs.nothing, () => told(updates, (board) => board.rollback())),
    "update.confirm": call(inputs.nothing, () => told(updates, (board) => board.confirm())),
    "update.install": stream(inputs.install, ({ path, restart }, signal) =>
      workAsStream<UpdateStatus, UpdateProgress>(signal, ({ onProgress }) =>
        told(updates, (board) => board.install(path, { onProgress, ...(restart !== undefined && { restart }) })),
      ),
    ),
  };
}

/** A refusal is the caller's to hear; everything else is a bug of ours. */
async function told<T>(updates: Updates | undefined, work: (updates: Updates) => Promise<T>): Promise<T> {
  if (updates === undefined) {
    throw new ControlError(
      "ERR_REFUSED",
      "this system was not started from a card of rackboot's; update it as you update the machine that it runs on",
    );
  }
  try {
    return await work(updates);
  } catch (cause) {
    if ((cause as { readonly code?: unknown }).code !== "ERR_UPDATE") throw cause;
    throw new ControlError("ERR_REFUSED", (cause as Error).message, { cause });
  }
}
