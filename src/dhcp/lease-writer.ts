import { parentPort, workerData } from "node:worker_threads";
import { openDatabaseFile } from "../state/database.ts";
import { LEASES, LeaseDatabase } from "./lease-database.ts";
import type { Stored, WriterData } from "./lease-store.ts";
import type { Lease } from "./leases.ts";

/** The thread that waits for the disk: leases in, one message back when they are durable. An empty message ends it. */

const { file } = workerData as WriterData;
const database = openDatabaseFile(file, LEASES);
const leases = new LeaseDatabase(database);

function commit(changed: readonly Lease[]): Stored {
  try {
    leases.commit(changed);
    return {};
  } catch (error) {
    return { reason: (error as Error).message };
  }
}

parentPort?.on("message", (changed: readonly Lease[] | undefined) => {
  if (changed !== undefined) {
    parentPort?.postMessage(commit(changed));
    return;
  }
  database.close();
  parentPort?.close();
});
