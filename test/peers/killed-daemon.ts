import { randomInt } from "node:crypto";
import { setTimeout as sleep } from "node:timers/promises";
import { ControlClient } from "../../src/control/client.ts";
import { Resources } from "../harness/resources.ts";
import { startDaemonOfClones } from "./clones-daemon.ts";
import { DiskClient } from "./disk-client.ts";
import { NumberedWriter } from "./numbered-writes.ts";

/** The daemon is killed with SIGKILL, again and again, under machines that write to dirty clones and reconnect. */

const RECONNECT_TIMEOUT_MS = 30_000;

export interface KillReport {
  readonly kills: number;
  readonly acknowledged: number;
  /** Writes that were under way when the daemon died: either outcome is right. */
  readonly underWay: number;
  readonly snapshots: number;
}

/** `storage` is a folder on the file system that is tried; `machines` write at a time. Throws what was not as it must be. */
export async function killUnderLoad(options: {
  readonly storage: string;
  readonly machines: number;
  readonly kills: number;
}): Promise<KillReport> {
  const resources = new Resources();
  const writers = Array.from({ length: options.machines }, (_, index) => new NumberedWriter(`m${index}`, "any-answer"));
  let snapshots = 0;
  try {
    const daemon = await startDaemonOfClones(
      resources,
      options.storage,
      writers.map(({ name }) => name),
    );
    for (let round = 0; round <= options.kills; round++) {
      const sessions = await Promise.all(writers.map((writer) => login(resources, daemon.portal, writer.name)));
      await Promise.all(writers.map((writer, index) => writer.check(at(sessions, index))));
      if (round === options.kills) break;
      const ends = writers.map((writer, index) => writer.write(at(sessions, index)).catch((error: Error) => error));
      await sleep(randomInt(50, 400));
      // A snapshot that the kill may fall into.
      const taken = snapshot(daemon.socket, `m0/0`, `s${round}`).then((isTaken) => {
        if (isTaken) snapshots++;
      });
      await sleep(randomInt(0, 300));
      await daemon.stop("SIGKILL");
      await taken;
      for (const end of await Promise.all(ends)) if (end instanceof Error && /refused/.test(end.message)) throw end;
      await daemon.start();
    }
    const sum = (key: "acknowledged" | "underWay"): number => writers.reduce((total, writer) => total + writer[key], 0);
    return { kills: options.kills, acknowledged: sum("acknowledged"), underWay: sum("underWay"), snapshots };
  } finally {
    await resources.close();
  }
}

function at<T>(list: readonly T[], index: number): T {
  const value = list[index];
  if (value === undefined) throw new Error(`there is no number ${index}`);
  return value;
}

async function login(resources: Resources, portal: string, machine: string): Promise<DiskClient> {
  const deadline = Date.now() + RECONNECT_TIMEOUT_MS;
  for (;;) {
    try {
      return await DiskClient.login(resources, portal, machine);
    } catch (error) {
      if (Date.now() > deadline) throw error;
      await sleep(100);
    }
  }
}

async function snapshot(socket: string, name: string, snapshotName: string): Promise<boolean> {
  try {
    for await (const value of new ControlClient(socket).follow("volume.snapshot", { name, snapshot: snapshotName })) {
      if ("result" in value) return true;
    }
  } catch {
    // The daemon died over it.
  }
  return false;
}
