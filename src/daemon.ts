import { isDeepStrictEqual } from "node:util";
import { Appliance } from "./appliance.ts";
import { entryOperations } from "./control/entry-operations.ts";
import { stateOperations } from "./control/operations.ts";
import { ControlServer } from "./control/server.ts";
import { defaultSocketPath } from "./control/socket-path.ts";
import { systemOperations } from "./control/system-operations.ts";
import { packageVersion } from "./control/version.ts";
import { volumeOperations } from "./control/volume-operations.ts";
import { type ConfigReading, formatNotice, formatProblem, readConfig } from "./machine/config-file.ts";
import { watchFile } from "./machine/config-watcher.ts";
import type { MachineName } from "./machine/identifiers.ts";
import { openDatabase, saveTimelines, Timelines } from "./state/database.ts";
import { Faults, followFaults } from "./state/faults.ts";
import { createLogger, type LogFormat, type Logger, type LogLevel, logEvents } from "./state/log.ts";
import { Store } from "./state/store.ts";

export interface DaemonOptions {
  /** Of the control API; absent: the default place. */
  readonly socket?: string;
  readonly logFormat: LogFormat;
  readonly logLevel: LogLevel;
}

/** A configuration that can be used; its file is what a reload reads again. */
type GoodReading = Extract<ConfigReading, { ok: true }>;

/**
 * One life of the daemon: the configuration file, the log, the control socket and signals around an {@link Appliance}.
 * Returns the exit code: 0 after SIGTERM or SIGINT, 1 where it could not start; the reason and the next step are on stderr.
 */
export async function runDaemon(reading: GoodReading, options: DaemonOptions): Promise<number> {
  const { stderr } = process;
  const logger = createLogger({ format: options.logFormat, level: options.logLevel, destination: stderr, colour: stderr.isTTY === true });
  try {
    const daemon = new Daemon(options, reading, logger);
    return await daemon.run();
  } catch (cause) {
    logger.fatal({ error: (cause as { code?: unknown }).code }, sentence(cause));
    return 1;
  }
}

class Daemon {
  readonly #options: DaemonOptions;
  readonly #logger: Logger;
  readonly #store: Store;
  readonly #faults: Faults;
  readonly #reading: GoodReading;
  readonly #ready: PromiseWithResolvers<void> = Promise.withResolvers();
  /** Reloads run one after the other, and none before the daemon is ready. */
  #reloading: Promise<void> = this.#ready.promise;
  /** Good or bad; undefined where it could not be put in force, so that the same file is tried again. */
  #lastRead: ConfigReading | undefined;

  constructor(options: DaemonOptions, reading: GoodReading, logger: Logger) {
    this.#options = options;
    this.#reading = reading;
    this.#lastRead = reading;
    this.#logger = logger;
    this.#store = new Store({ onListenerError: (error) => logger.error({ error }, `a listener failed: ${sentence(error)}`) });
    logEvents(this.#store, logger);
    this.#faults = new Faults(this.#store.emit);
    followFaults(this.#store, this.#faults);
    // A slip of ours in one answer must not take the disks from a whole rack.
    process.on("unhandledRejection", (error) => logger.error({ error }, `something failed and was not looked after: ${sentence(error)}`));
  }

  async run(): Promise<number> {
    const reading = this.#reading;
    const { database, setAside } = openDatabase(reading.config.storage.path);
    if (setAside !== undefined) this.#logger.error(`state.sqlite was damaged; it is kept as ${setAside}, and a new one was begun`);
    const version = packageVersion();
    const appliance = new Appliance({ settings: reading, store: this.#store, faults: this.#faults, database, version });
    const saved = saveTimelines(this.#store, new Timelines(database), (error) => this.#logger.error(`timelines: ${sentence(error)}`));
    for (const missing of appliance.missingFeatures) this.#logger.warn(`this kernel's io_uring lacks ${missing}`);
    const control = new ControlServer({
      path: this.#options.socket ?? defaultSocketPath(),
      operations: {
        ...stateOperations({ store: this.#store, version, machines: () => appliance.machines }),
        ...entryOperations(() => appliance.machines, appliance.diskBoots),
        ...volumeOperations({
          volumes: appliance.disks.operations,
          transfers: appliance.disks.transfers,
          reset: (machine, force) => appliance.disks.machines.reset(machine as MachineName, force),
        }),
        ...systemOperations(appliance.system),
      },
      onError: (operation, error) => this.#logger.error({ error }, `${operation}: ${sentence(error)}`),
    });
    const hangUp = (): void => this.#queueReload(appliance, true);
    process.on("SIGHUP", hangUp);
    try {
      await appliance.start();
      await this.#listen(control);
      this.#loaded(reading);
      this.#store.emit({ type: "daemon.ready" });
      await this.#untilStopped(appliance);
      return 0;
    } finally {
      process.off("SIGHUP", hangUp);
      await control.close();
      await appliance.stop();
      saved();
      database.close();
    }
  }

  /** Another daemon may have the usual place; only where the place was chosen does that stop this one. */
  async #listen(control: ControlServer): Promise<void> {
    try {
      await control.listen();
    } catch (cause) {
      if (this.#options.socket !== undefined) throw cause;
      this.#logger.warn(`${sentence(cause)} The command line cannot reach this daemon until then.`);
    }
  }

  #loaded(reading: GoodReading): void {
    for (const notice of reading.notices) this.#logger.warn(formatNotice(notice));
    const { config, file } = reading;
    this.#store.emit({
      type: "config.loaded",
      file,
      machines: config.machines.map(({ name }) => name),
      volumes: [...new Set([...config.volumes.keys(), ...config.machines.flatMap(({ disks }) => disks)])],
    });
  }

  async #untilStopped(appliance: Appliance): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<string>();
    const stop = (signal: string): void => resolve(signal);
    const changed = (): void => this.#queueReload(appliance, false);
    const unwatch = watchFile(this.#reading.file, changed);
    // The file may have changed since it was read.
    changed();
    process.on("SIGTERM", stop);
    process.on("SIGINT", stop);
    this.#ready.resolve();
    const reason = await promise;
    unwatch();
    this.#store.emit({ type: "daemon.stopping", reason });
    await this.#reloading;
  }

  #queueReload(appliance: Appliance, asked: boolean): void {
    this.#reloading = this.#reloading.then(() => this.#reload(appliance, asked));
  }

  /**
   * A bad file, or one that asks for what cannot be had, leaves everything as it was. Who asks for a reload is told of it;
   * a file that was only touched says nothing new.
   */
  async #reload(appliance: Appliance, asked: boolean): Promise<void> {
    const reading = readConfig(this.#reading.file);
    if (!asked && isDeepStrictEqual(reading, this.#lastRead)) return;
    this.#lastRead = reading;
    if (!reading.ok) return this.#rejected(reading.file, reading.problems.map(formatProblem));
    try {
      const deferred = await appliance.reload(reading);
      this.#loaded(reading);
      if (deferred.length > 0) this.#logger.warn(`${deferred.join(", ")}: changed; in force from the next start of the daemon`);
    } catch (cause) {
      this.#lastRead = undefined;
      this.#rejected(reading.file, [sentence(cause)]);
    }
  }

  #rejected(file: string, problems: readonly string[]): void {
    this.#store.emit({ type: "config.rejected", file, problems });
  }
}

function sentence(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
