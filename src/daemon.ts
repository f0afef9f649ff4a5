import { dirname } from "node:path";
import { isDeepStrictEqual } from "node:util";
import { Appliance } from "./appliance.ts";
import { configOperations } from "./control/config-operations.ts";
import { entryOperations } from "./control/entry-operations.ts";
import { identifyOperations } from "./control/identify-operations.ts";
import { imageOperations } from "./control/image-operations.ts";
import { networkOperations } from "./control/network-operations.ts";
import { stateOperations, withNames } from "./control/operations.ts";
import { pendingOperations } from "./control/pending-operations.ts";
import { ControlServer } from "./control/server.ts";
import { defaultSocketPath } from "./control/socket-path.ts";
import { systemOperations } from "./control/system-operations.ts";
import { updateOperations } from "./control/update-operations.ts";
import { packageVersion } from "./control/version.ts";
import { volumeOperations } from "./control/volume-operations.ts";
import { LEASES } from "./dhcp/lease-database.ts";
import { openLeaseStore } from "./dhcp/lease-store.ts";
import { FirstAnswers } from "./first-answers.ts";
import { LiveConfig } from "./live-config.ts";
import { readLastGood, readStartingConfig, type StartingConfig } from "./machine/config-fallback.ts";
import { watchFile } from "./machine/config-watcher.ts";
import type { MachineName } from "./machine/identifiers.ts";
import { trimMemory } from "./native/process.ts";
import { NetworkTrial } from "./network-trial.ts";
import { type DataDisk, openDataDisk, whyMissing } from "./state/data-disk.ts";
import { type DatabaseLayout, STATE, saveTimelines, Timelines } from "./state/database.ts";
import { Faults, followFaults } from "./state/faults.ts";
import { createLogger, type LogFormat, type Logger, type LogLevel, logEvents } from "./state/log.ts";
import { PendingHardware, savePending } from "./state/pending.ts";
import { cardShown } from "./state/state.ts";
import { Store } from "./state/store.ts";

/** By then what a start needs once has run. */
const TRIM_AFTER_MS = 2000;

export interface DaemonOptions {
  /** Of the control API; absent: the default place. */
  readonly socket?: string;
  /** Where a copy of the configuration that runs is kept. */
  readonly lastGood?: string;
  /** What a new board starts from, and what its first file begins as. */
  readonly factory?: string;
  /** While this file is there, a start is from the factory's all the same. */
  readonly recovery?: string;
  /** Whose lamps and button; absent: what the environment or the device tree says. */
  readonly board?: string;
  readonly logFormat: LogFormat;
  readonly logLevel: LogLevel;
}

/**
 * One life of the daemon: the configuration file, the log, the control socket and signals around an {@link Appliance}.
 * Returns the exit code: 0 after SIGTERM or SIGINT, 1 where it could not start; the reason and the next step are on stderr.
 */
export async function runDaemon(starting: StartingConfig, options: DaemonOptions): Promise<number> {
  const { stderr } = process;
  const logger = createLogger({ format: options.logFormat, level: options.logLevel, destination: stderr, colour: stderr.isTTY === true });
  // A slip of ours in one answer must not take the disks from a whole rack.
  process.on("unhandledRejection", (error) => logger.error({ error }, `something failed and was not looked after: ${sentence(error)}`));
  try {
    // Begins anew when a data disk that was missing is there: until then nothing was kept that would be lost by it.
    for (let next = starting; await new Daemon(options, next, logger).run(); ) {
      const again = readStartingConfig(starting.reading.file, options);
      if (again.ok) next = again;
    }
    return 0;
  } catch (cause) {
    // A good file may still ask for what this machine does not have.
    const kept = starting.from === "file" ? readLastGood(starting.reading.file, options.lastGood) : undefined;
    if (kept !== undefined && !isDeepStrictEqual(kept, starting.reading)) {
      logger.error(`${sentence(cause)} The last good configuration starts instead.`);
      return await runDaemon({ ok: true, reading: kept, from: "last-good", rejected: [sentence(cause)] }, options);
    }
    logger.fatal({ error: (cause as { code?: unknown }).code }, sentence(cause));
    return 1;
  }
}

const TAKE_ANSWERS_EVERY_MS = 10_000;
const LOOK_FOR_DISK_EVERY_MS = 2_000;
const DATA_DISK_IS_THERE = "the data disk is there, beginning anew with it";

class Daemon {
  readonly #options: DaemonOptions;
  readonly #logger: Logger;
  readonly #store: Store;
  readonly #faults: Faults;
  readonly #starting: StartingConfig;

  constructor(options: DaemonOptions, starting: StartingConfig, logger: Logger) {
    this.#options = options;
    this.#starting = starting;
    this.#logger = logger;
    this.#store = new Store({ onListenerError: (error) => logger.error({ error }, `a listener failed: ${sentence(error)}`) });
    logEvents(this.#store, logger);
    this.#faults = new Faults(this.#store.emit);
    followFaults(this.#store, this.#faults);
  }

  /** Resolves with true when it shall begin anew. */
  async run(): Promise<boolean> {
    const { reading } = this.#starting;
    const { path } = reading.config.storage;
    // First the one that keeps a second daemon out.
    const { database, missing } = this.#open(path, STATE);
    const leases = openLeaseStore(this.#open(path, LEASES).database);
    const version = packageVersion();
    const board = this.#options.board ?? process.env["RACKBOOT_BOARD"];
    const appliance = new Appliance({
      settings: reading,
      store: this.#store,
      faults: this.#faults,
      database,
      leases,
      version,
      runFolder: dirname(this.#options.socket ?? defaultSocketPath()),
      ...(missing !== undefined && { noDataDisk: missing.reason }),
      ...(board !== undefined && { board }),
    });
    const pending = new PendingHardware(database);
    this.#store.restorePending(pending.load());
    const saved = [
      saveTimelines(this.#store, new Timelines(database), (error) => this.#logger.error(`timelines: ${sentence(error)}`)),
      savePending(this.#store, pending, (error) => this.#logger.error(`pending hardware: ${sentence(error)}`)),
    ];
    const live = new LiveConfig({ ...this.#options, starting: this.#starting, appliance, store: this.#store, logger: this.#logger });
    const network = new NetworkTrial(live);
    for (const missing of appliance.missingFeatures) this.#logger.warn(`this kernel's io_uring lacks ${missing}`);
    const control = new ControlServer({
      path: this.#options.socket ?? defaultSocketPath(),
      operations: withNames({
        ...stateOperations({ store: this.#store, version, machines: () => appliance.machines }),
        ...configOperations(live),
        ...pendingOperations({ config: () => live.inForce.config, state: () => this.#store.snapshot(), work: live }),
        ...networkOperations(network),
        ...entryOperations(
          () => appliance.machinesNow,
          appliance.boot.diskBoots,
          (macs) => cardShown(this.#store.snapshot(), macs),
        ),
        ...imageOperations(appliance.boot.images, appliance.boot.installs),
        ...volumeOperations({
          volumes: appliance.disks.operations,
          transfers: appliance.disks.transfers,
          reset: (machine, force) => appliance.disks.machines.reset(machine as MachineName, force),
        }),
        ...identifyOperations(appliance.identify),
        ...systemOperations(appliance.system),
        ...updateOperations(appliance.updates),
      }),
      onError: (operation, error) => this.#logger.error({ error }, `${operation}: ${sentence(error)}`),
    });
    const hangUp = (): void => live.reload(true);
    process.on("SIGHUP", hangUp);
    try {
      await appliance.start();
      await this.#listen(control);
      live.begin();
      this.#store.emit({ type: "daemon.ready" });
      setTimeout(trimMemory, TRIM_AFTER_MS).unref();
      return await this.#untilStopped(appliance, live, missing === undefined ? undefined : path);
    } finally {
      process.off("SIGHUP", hangUp);
      await control.close();
      await appliance.stop();
      for (const save of saved) save();
      await leases.close();
      database.close();
    }
  }

  #open(folder: string, layout: DatabaseLayout): DataDisk {
    const disk = openDataDisk(folder, layout);
    const { missing, unusable, setAside } = disk;
    if (missing !== undefined) this.#faults.raise("no-data-disk", "storage", missing);
    if (unusable !== undefined) this.#faults.raise("data-disk-failing", layout.name, unusable);
    if (setAside !== undefined) this.#logger.error(`${layout.name}.sqlite was damaged; it is kept as ${setAside}, and a new one was begun`);
    return disk;
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

  /** `awaited` is the folder of a data disk that is missing. Resolves with true when it is there. */
  async #untilStopped(appliance: Appliance, live: LiveConfig, awaited: string | undefined): Promise<boolean> {
    const { promise, resolve } = Promise.withResolvers<string>();
    const stop = (signal: string): void => resolve(signal);
    const look = (): void => {
      if (awaited !== undefined && whyMissing(awaited) === undefined) resolve(DATA_DISK_IS_THERE);
    };
    const timer = awaited === undefined ? undefined : setInterval(look, LOOK_FOR_DISK_EVERY_MS);
    const endAnswers = this.#takeAnswers(appliance, live, awaited !== undefined);
    const changed = (): void => live.reload(false);
    const unwatch = [watchFile(this.#starting.reading.file, changed), this.#followSecrets(live, changed)];
    // The file may have changed since it was read.
    changed();
    process.on("SIGTERM", stop);
    process.on("SIGINT", stop);
    const reason = await promise;
    clearInterval(timer);
    endAnswers();
    process.off("SIGTERM", stop);
    process.off("SIGINT", stop);
    for (const end of unwatch) end();
    this.#store.emit({ type: "daemon.stopping", reason });
    await live.idle();
    return reason === DATA_DISK_IS_THERE;
  }

  /** What the file answers of a new appliance's questions, now and when it says something new; a disk may come later. Returns the way out. */
  #takeAnswers({ system }: Appliance, live: LiveConfig, isDiskMissing: boolean): () => void {
    if (system === undefined) return () => undefined;
    const answers = new FirstAnswers({
      system,
      setup: () => live.inForce.config.setup,
      edit: (edit) => live.edit(edit),
      tell: (sentence) => this.#logger.warn(sentence),
    });
    const take = (): void => void answers.take(isDiskMissing);
    take();
    const timer = setInterval(take, TAKE_ANSWERS_EVERY_MS);
    return () => clearInterval(timer);
  }

  /** The file of CHAP secrets, whichever the configuration names. Returns the way out. */
  #followSecrets(live: LiveConfig, changed: () => void): () => void {
    let file: string | undefined;
    let unwatch = (): void => undefined;
    const follow = (): void => {
      const { secrets } = live.inForce.config.iscsi;
      if (secrets === file) return;
      unwatch();
      file = secrets;
      unwatch = secrets === undefined ? (): void => undefined : watchFile(secrets, changed);
    };
    follow();
    const unsubscribe = this.#store.subscribe(({ type }) => type === "config.loaded" && follow());
    return () => {
      unsubscribe();
      unwatch();
    };
  }
}

function sentence(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
