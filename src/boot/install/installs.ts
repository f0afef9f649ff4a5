import type { DatabaseSync, StatementSync } from "node:sqlite";
import type { ImageName, MachineName, ProfileName } from "../../machine/identifiers.ts";
import type { BootSource, Machine } from "../../machine/machine.ts";

/** What is remembered of a machine's installation, so that the configuration can stay as it is. */
export interface InstallRecord {
  readonly image: ImageName;
  readonly profile?: ProfileName;
  /** wanted: the next boot installs; running: an installer was handed out; done: the machine boots its disk. */
  readonly state: "wanted" | "running" | "done";
  /** A person said so, whatever the configuration says. */
  readonly ordered: boolean;
  /** Of the installation that runs or ran last. */
  readonly boot?: number;
  readonly token?: string;
}

/**
 * What a machine boots, given what it is configured to boot and what became of installations: a machine that is configured
 * to install an image installs it once, and boots its disk from then on.
 */
export function bootNow({ boot }: Pick<Machine, "boot">, record: InstallRecord | undefined): BootSource {
  if (record?.ordered === true && record.state !== "done") {
    return { kind: "install", image: record.image, ...(record.profile === undefined ? {} : { profile: record.profile }) };
  }
  const done = boot.kind === "install" && record?.state === "done" && record.image === boot.image;
  return done ? { kind: "disk", via: "loader" } : boot;
}

/** An installer was handed out in this boot. A boot that has one already goes on with it. */
export function begun(
  record: InstallRecord | undefined,
  source: BootSource & { kind: "install" },
  boot: number,
  token: string,
): InstallRecord {
  if (record?.state === "running" && record.boot === boot && record.image === source.image) return record;
  return {
    image: source.image,
    ...(source.profile === undefined ? {} : { profile: source.profile }),
    state: "running",
    ordered: record?.ordered === true && record.state !== "done",
    boot,
    token,
  };
}

/** A machine whose installer runs in another boot than that has given it up. */
export function gaveUp(record: InstallRecord | undefined, boot: number): record is InstallRecord {
  return record?.state === "running" && record.boot !== undefined && record.boot !== boot;
}

/** Installations by machine, in SQLite: on the medium when a call returns. Methods throw what SQLite throws. */
export class InstallStore {
  readonly #known = new Map<MachineName, InstallRecord>();
  readonly #upsert: StatementSync;
  readonly #delete: StatementSync;

  constructor(database: DatabaseSync) {
    // Only this file reads the value, and what it holds has no question that SQL would have to answer.
    database.exec("CREATE TABLE IF NOT EXISTS installs (machine TEXT PRIMARY KEY, record TEXT NOT NULL) STRICT, WITHOUT ROWID");
    this.#upsert = database.prepare("INSERT OR REPLACE INTO installs (machine, record) VALUES (?, ?)");
    this.#delete = database.prepare("DELETE FROM installs WHERE machine = ?");
    for (const { machine, record } of database.prepare("SELECT machine, record FROM installs").all()) {
      this.#known.set(String(machine) as MachineName, JSON.parse(String(record)) as InstallRecord);
    }
  }

  get(machine: MachineName): InstallRecord | undefined {
    return this.#known.get(machine);
  }

  set(machine: MachineName, record: InstallRecord): void {
    if (record === this.get(machine)) return;
    this.#upsert.run(machine, JSON.stringify(record));
    this.#known.set(machine, record);
  }

  forget(machine: MachineName): void {
    if (this.#known.delete(machine)) this.#delete.run(machine);
  }
}
