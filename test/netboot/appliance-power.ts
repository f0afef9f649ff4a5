import { randomInt } from "node:crypto";
import { setTimeout as sleep } from "node:timers/promises";
import { ApplianceMachine } from "../harness/appliance-machine.ts";
import { ensureGuest } from "../harness/guest.ts";
import { Resources } from "../harness/resources.ts";
import { DiskClient } from "../peers/disk-client.ts";
import { fillOrigin, NumberedWriter } from "../peers/numbered-writes.ts";

/**
 * The appliance loses its power, again and again, under initiators that write numbered sectors to clones and flush. QEMU is
 * killed, so everything in the appliance's memory is gone; and the write cache of its data disk is lost in random parts, so
 * that only a flush of the disk itself keeps anything. What a real SSD does with a flush, it alone knows: that is not shown.
 */

export interface PowerReport {
  readonly cuts: number;
  readonly acknowledged: number;
  /** Of these, those that an acknowledged flush or FUA made durable: every one was found. */
  readonly durable: number;
  /** Sectors that were found older than what was acknowledged without a flush: that the power really went. */
  readonly rolledBackSectors: number;
  readonly underWay: number;
  /** Of the disk's cache when the power went. */
  readonly cacheSectorsLost: number;
  readonly cacheSectorsKept: number;
  readonly diskFlushes: number;
}

const MACHINES = ["m0", "m1"];
const WRITING_MS = { from: 1_000, to: 3_000 };

/** Throws what was not as it must be. */
export async function cutApplianceUnderLoad(options: {
  readonly directory: string;
  readonly cuts: number;
  readonly honestDisk?: boolean;
  readonly tell?: (line: string) => void;
}): Promise<PowerReport> {
  const { directory, cuts, honestDisk = true, tell = () => undefined } = options;
  const resources = new Resources();
  const entry = (number: number, disk: unknown): object => ({ mac: `52:54:00:16:03:0${number}`, initiator: "any", disks: [disk] });
  const clone = { clone: "golden" };
  const config = {
    volumes: { golden: { size: "16M" } },
    machines: { maker: entry(9, "golden"), ...Object.fromEntries(MACHINES.map((name, index) => [name, entry(index, clone)])) },
  };
  try {
    const guest = await ensureGuest(tell);
    const appliance = await ApplianceMachine.make(resources, { directory, guest, config, honestDisk });
    const writers = MACHINES.map((name) => new NumberedWriter(name, "flush"));
    await appliance.powerOn();
    await fillOrigin(await DiskClient.login(resources, appliance.portal, "maker"));
    let [lost, kept] = [0, 0];
    for (let cut = 0; ; cut++) {
      const ends: Promise<unknown>[] = [];
      for (const writer of writers) {
        const client = await DiskClient.login(resources, appliance.portal, writer.name);
        await writer.check(client);
        if (cut < cuts) ends.push(writer.write(client).catch((error: unknown) => error));
      }
      if (cut === cuts) break;
      await sleep(randomInt(WRITING_MS.from, WRITING_MS.to));
      const fate = await appliance.cutPower();
      lost += fate.lost;
      kept += fate.kept;
      for (const end of await Promise.all(ends)) if (end instanceof Error && /refused/.test(end.message)) throw end;
      await appliance.powerOn();
      tell(`power cut ${cut + 1} of ${cuts}`);
    }
    const sum = (key: "acknowledged" | "durable" | "rolledBack" | "underWay"): number =>
      writers.reduce((total, writer) => total + writer[key], 0);
    return {
      cuts,
      acknowledged: sum("acknowledged"),
      durable: sum("durable"),
      rolledBackSectors: sum("rolledBack"),
      underWay: sum("underWay"),
      cacheSectorsLost: lost,
      cacheSectorsKept: kept,
      diskFlushes: appliance.flushes,
    };
  } finally {
    await resources.close();
  }
}
