import type { System } from "./control/system-operations.ts";
import type { SetupConfig } from "./machine/config.ts";
import type { ConfigEdit } from "./machine/config-edit.ts";

export interface FirstAnswersParts {
  readonly system: System;
  /** Of the configuration in force. */
  readonly setup: () => SetupConfig;
  readonly edit: (edit: ConfigEdit) => Promise<unknown>;
  /** What was done, and what was not and why, for the log and the console. */
  readonly tell: (sentence: string) => void;
}

/**
 * The last two questions of a new appliance, the password and the data disk, answered by `setup` in the file on the card instead of at
 * the console. An answer counts only where there is nothing yet: no password is changed by a file, and no disk is formatted that has
 * anything on it; the serial number in the file is the confirmation that a person typed.
 */
export class FirstAnswers {
  readonly #parts: FirstAnswersParts;
  #told: string | undefined;
  #taking = false;

  constructor(parts: FirstAnswersParts) {
    this.#parts = parts;
  }

  /** Does what there is to do. Never rejects. */
  async take(isDiskMissing: boolean): Promise<void> {
    // Formatting takes longer than the time until the next look.
    if (this.#taking) return;
    this.#taking = true;
    try {
      await this.#takePassword();
      if (isDiskMissing) await this.#takeDisk();
    } catch (cause) {
      this.#once(`setup: ${cause instanceof Error ? cause.message : String(cause)}`);
    } finally {
      this.#taking = false;
    }
  }

  /** Everybody who has the card can read it, so that it does not stay there. */
  async #takePassword(): Promise<void> {
    const { system, setup, edit, tell } = this.#parts;
    const { password } = setup();
    if (password === undefined) return;
    const isFirst = !system.hasPassword();
    if (isFirst) await system.setPassword(password, undefined);
    await edit({ kind: "set", path: ["setup", "password"], value: null });
    tell(
      isFirst
        ? "setup.password is the appliance's password now, and no longer stands in the file"
        : "setup.password was removed from the file and not taken: there is a password already; change it on the console",
    );
  }

  async #takeDisk(): Promise<void> {
    const { system, setup, tell } = this.#parts;
    const { dataDisk } = setup();
    if (dataDisk === undefined) return;
    const found = (await system.disks()).filter(({ serial }) => serial === dataDisk);
    const [disk, twin] = found;
    if (disk === undefined) return this.#once(`setup.data-disk: no disk with the serial number ${dataDisk} is here yet; plug it in`);
    if (twin !== undefined) return this.#once(`setup.data-disk: two disks say that they are ${dataDisk}; choose one on the console`);
    // One that has the label already is about to be mounted.
    if (disk.role === "data") return;
    if (disk.role !== "empty") {
      const contents = disk.contents.map(({ type, label }) => (label === "" ? type : `${type} "${label}"`)).join(", ");
      return this.#once(
        `setup.data-disk: ${disk.name} (${dataDisk}) is not empty (${contents || "partitions"}) and is left as it is; format it on the console`,
      );
    }
    await system.format(disk.name, disk.confirmation, {});
    tell(`setup.data-disk: ${disk.name} (${dataDisk}) was empty, and is the data disk now`);
  }

  /** The same reason is told once, however often it is looked at. */
  #once(sentence: string): void {
    if (sentence === this.#told) return;
    this.#told = sentence;
    this.#parts.tell(sentence);
  }
}
