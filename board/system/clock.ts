import { type ChildProcess, spawn } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";
import type { SystemTime, TimeChange } from "../../src/control/system-operations.ts";
import { writeConfigText } from "../../src/machine/config-store.ts";
import { run, SystemError } from "./run.ts";

/** Busybox's client tells by running a program; it makes this file, which is gone after the next power-on. */
const SYNCED_FILE = "/run/rackboot/time-synced";
const SYNCED_PROGRAM = "/usr/libexec/rackboot/time-synced";
const HARDWARE_CLOCK = "/dev/rtc0";
const RESTART_AFTER_MS = 60_000;

/** The time of day. A board without a clock starts in 1970; nothing of ours counts by it, and it may jump. */
export class Clock {
  readonly #file: string;
  #client: ChildProcess | undefined;
  #byPerson = false;

  /** `file`: the names of the time servers, one a line. */
  constructor(file: string) {
    this.#file = file;
  }

  get #servers(): readonly string[] {
    if (!existsSync(this.#file)) return [];
    return readFileSync(this.#file, "utf8")
      .split("\n")
      .filter((line) => line !== "");
  }

  async start(): Promise<void> {
    this.#follow();
  }

  async read(): Promise<SystemTime> {
    return { nowMs: Date.now(), source: this.#source(), servers: this.#servers };
  }

  async set({ nowMs, servers }: TimeChange): Promise<SystemTime> {
    if (servers !== undefined) {
      writeConfigText(this.#file, servers.map((server) => `${server}\n`).join(""));
      this.#follow();
    }
    if (nowMs !== undefined) {
      if (this.#servers.length > 0) throw new SystemError("the time follows a time server; take the servers away first, then set it");
      await run("date", ["-u", "-s", `@${Math.round(nowMs / 1000)}`]);
      this.#byPerson = true;
      if (existsSync(HARDWARE_CLOCK)) await run("hwclock", ["-w", "-u"]).catch(() => undefined);
    }
    return await this.read();
  }

  #source(): SystemTime["source"] {
    if (existsSync(SYNCED_FILE)) return "ntp";
    if (this.#byPerson) return "person";
    return existsSync(HARDWARE_CLOCK) ? "clock" : "unset";
  }

  /**
   * One client for all servers; it is a child that goes when the daemon does. The rack may ask it too (-l), and hears that it does not
   * know while it does not: without a server of its own nobody is told a time that a person may have mistyped.
   */
  #follow(): void {
    this.#client?.kill();
    this.#client = undefined;
    const servers = this.#servers;
    if (servers.length === 0) return;
    const client = spawn("ntpd", ["-n", "-l", "-S", SYNCED_PROGRAM, ...servers.flatMap((server) => ["-p", server])], { stdio: "ignore" });
    this.#client = client;
    const again = (): void => {
      if (this.#client === client) setTimeout(() => this.#client === client && this.#follow(), RESTART_AFTER_MS).unref();
    };
    client.once("error", again);
    client.once("exit", again);
    client.unref();
  }
}
