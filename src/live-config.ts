import { existsSync, rmSync } from "node:fs";
import { isDeepStrictEqual } from "node:util";
import type { Appliance } from "./appliance.ts";
import type { ConfigEdited, ConfigWork } from "./control/config-operations.ts";
import { type ConfigEdit, type EditResult, editConfig, type GoodReading } from "./machine/config-edit.ts";
import { keepLastGood, type StartingConfig } from "./machine/config-fallback.ts";
import { type ConfigReading, formatNotice, formatProblem, parseConfig, readConfig } from "./machine/config-file.ts";
import { readConfigText, replaceConfig, writeConfigText } from "./machine/config-store.ts";
import type { Logger } from "./state/log.ts";
import type { Store } from "./state/store.ts";

export interface LiveConfigOptions {
  readonly starting: StartingConfig;
  /** Where a copy of what runs is kept. */
  readonly lastGood?: string;
  /** What the first file begins as where there is none. */
  readonly factory?: string;
  /** While it is there, the factory's is what starts; it goes when the person's file is in force again. */
  readonly recovery?: string;
  readonly appliance: Appliance;
  readonly store: Store;
  readonly logger: Logger;
}

/** Why a change was not made; the message says so to a person. */
class ConfigRefused extends Error {
  readonly code = "ERR_CONFIG_REFUSED";
}

/**
 * The configuration file and what runs, which follow each other: a changed file is put in force, and a change that is asked
 * for here is written to the file. One after the other, and none before the daemon is ready.
 */
export class LiveConfig implements ConfigWork {
  readonly #options: LiveConfigOptions;
  readonly #file: string;
  readonly #ready: PromiseWithResolvers<void> = Promise.withResolvers();
  #queue: Promise<unknown> = this.#ready.promise;
  /** Good or bad; undefined where it could not be put in force, so that the same file is tried again. */
  #lastRead: ConfigReading | undefined;
  #inForce: GoodReading;
  /** What is in force is what the person's file says. */
  #isFile: boolean;
  /** In force, and not in the file. */
  #trial:
    | {
        readonly before: GoodReading;
        readonly wasFile: boolean;
        readonly text: string;
        readonly trialText: string;
        readonly reading: GoodReading;
      }
    | undefined;
  /** Called when what was tried out is kept or gone. */
  onTrialOver: () => void = () => undefined;

  constructor(options: LiveConfigOptions) {
    this.#options = options;
    const { reading, from } = options.starting;
    this.#inForce = reading;
    this.#file = reading.file;
    this.#isFile = from === "file";
    this.#lastRead = this.#isFile ? reading : readConfig(reading.file);
  }

  /** What runs is what was read at the start; from now on it may change. */
  begin(): void {
    const { reading, rejected } = this.#options.starting;
    this.#loaded(reading, this.#isFile);
    if (rejected !== undefined) this.#rejected(rejected);
    this.#ready.resolve();
  }

  /** Resolves when no change is under way. Never rejects. */
  async idle(): Promise<void> {
    await this.#queue;
  }

  /** `asked`: somebody waits for an answer, also where the file says nothing new. */
  reload(asked: boolean): void {
    void this.#next(() => this.#reload(asked));
  }

  read(): { readonly file: string; readonly text: string } {
    const { factory } = this.#options;
    const from = factory !== undefined && !existsSync(this.#file) ? factory : this.#file;
    return { file: this.#file, text: refusing(() => readConfigText(from)) };
  }

  edit(edit: ConfigEdit, expected?: string): Promise<ConfigEdited> {
    return this.#next(() => this.#edit((text) => editConfig(text, this.#file, edit), expected));
  }

  replace(text: string): Promise<ConfigEdited> {
    return this.#next(() =>
      this.#edit(() => {
        const reading = parseConfig(text, this.#file);
        return reading.ok ? { ok: true, text, reading } : reading;
      }),
    );
  }

  /** What runs. */
  get inForce(): GoodReading {
    return this.#inForce;
  }

  /** Puts what the file would be after `edit` in force, and leaves the file as it is. Whatever the file says later comes instead of it. */
  tryOut(edit: ConfigEdit): Promise<void> {
    return this.#next(async () => {
      const { file, text } = this.read();
      const result = editConfig(text, file, edit);
      if (!result.ok) throw new ConfigRefused(`${result.problems.map(formatProblem).join("\n")}\nNothing was changed.`);
      const [before, wasFile] = [this.#inForce, this.#isFile];
      await this.#inForceOrRefused(result.reading);
      this.#trial = { before, wasFile, text, trialText: result.text, reading: result.reading };
    });
  }

  /** Writes what is tried out into the file. */
  keepTrial(): Promise<void> {
    return this.#next(async () => {
      const trial = this.#trial;
      if (trial === undefined) throw new ConfigRefused("what was tried out has gone back already");
      refusing(() => this.#write(trial.text, trial.trialText));
      this.#lastRead = trial.reading;
      this.#loaded(trial.reading);
    });
  }

  /** What ran before what is tried out runs again. */
  endTrial(): Promise<void> {
    return this.#next(async () => {
      const trial = this.#trial;
      if (trial === undefined) return;
      await this.#inForceOrRefused(trial.before);
      this.#loaded(trial.before, trial.wasFile);
    });
  }

  isConnected(machine: string): boolean {
    return Object.values(this.#options.store.snapshot().sessions).some((session) => session.machine === machine);
  }

  #next<T>(work: () => Promise<T>): Promise<T> {
    const result = this.#queue.then(work);
    this.#queue = result.catch(() => undefined);
    return result;
  }

  async #inForceOrRefused(reading: GoodReading): Promise<void> {
    try {
      await this.#options.appliance.reload(reading);
      this.#inForce = reading;
    } catch (cause) {
      throw new ConfigRefused(`${sentence(cause)}; nothing was changed`, { cause });
    }
  }

  /** The file first: after a crash it is what counts. Where it cannot be put in force, it becomes again what it was. */
  async #edit(change: (text: string) => EditResult, expected?: string): Promise<ConfigEdited> {
    const { file, text } = this.read();
    if (expected !== undefined && expected !== text) throw new ConfigRefused(`${file} was changed meanwhile; look at it and try again`);
    const result = change(text);
    if (!result.ok) throw new ConfigRefused(`${result.problems.map(formatProblem).join("\n")}\nNothing was changed.`);
    refusing(() => this.#write(text, result.text));
    this.#lastRead = result.reading;
    try {
      const deferred = await this.#options.appliance.reload(result.reading);
      this.#loaded(result.reading);
      return { file, notices: result.reading.notices.map(formatNotice), deferred };
    } catch (cause) {
      this.#lastRead = undefined;
      refusing(() => this.#write(result.text, text));
      throw new ConfigRefused(`${sentence(cause)}; nothing was changed`, { cause });
    }
  }

  /**
   * A bad file, or one that asks for what cannot be had, leaves everything as it was. Who asks for a reload is told of it;
   * a file that was only touched says nothing new.
   */
  async #reload(asked: boolean): Promise<void> {
    const reading = readConfig(this.#file);
    if (!asked && isDeepStrictEqual(reading, this.#lastRead)) return;
    this.#lastRead = reading;
    if (!reading.ok) return this.#rejected(reading.problems.map(formatProblem));
    try {
      const deferred = await this.#options.appliance.reload(reading);
      this.#loaded(reading);
      if (deferred.length > 0) this.#options.logger.warn(`${deferred.join(", ")}: changed; in force from the next start of the daemon`);
    } catch (cause) {
      this.#lastRead = undefined;
      this.#rejected([sentence(cause)]);
    }
  }

  /** The appliance's card can be written for this moment only. */
  #write(before: string, after: string): void {
    const write = (): void => (existsSync(this.#file) ? replaceConfig(this.#file, before, after) : writeConfigText(this.#file, after));
    const { system } = this.#options.appliance;
    if (system === undefined) write();
    else system.whileCardWritable(write);
  }

  #loaded(reading: GoodReading, isFile = true): void {
    const { config, file, notices } = reading;
    this.#inForce = reading;
    this.#isFile = isFile;
    // What the file says is in force: whatever was tried out is over.
    this.#trial = undefined;
    this.onTrialOver();
    for (const notice of notices) this.#options.logger.warn(formatNotice(notice));
    this.#options.store.emit({
      type: "config.loaded",
      file,
      machines: config.machines.map(({ name }) => name),
      macs: config.machines.flatMap(({ macs }) => macs),
      volumes: [...new Set([...config.volumes.keys(), ...config.machines.flatMap(({ disks }) => disks)])],
    });
    const { lastGood, recovery } = this.#options;
    if (isFile && recovery !== undefined) rmSync(recovery, { force: true });
    if (!isFile || lastGood === undefined) return;
    try {
      keepLastGood(file, lastGood);
    } catch (cause) {
      this.#options.logger.warn(sentence(cause));
    }
  }

  #rejected(problems: readonly string[]): void {
    this.#options.store.emit({ type: "config.rejected", file: this.#file, problems });
  }
}

function refusing<T>(work: () => T): T {
  try {
    return work();
  } catch (cause) {
    throw new ConfigRefused(sentence(cause), { cause });
  }
}

function sentence(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
