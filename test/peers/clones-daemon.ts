import type { Resources } from "../harness/resources.ts";
import { DiskClient } from "./disk-client.ts";
import { LoopbackDaemon } from "./loopback-daemon.ts";
import { fillOrigin } from "./numbered-writes.ts";

/** A daemon whose `machines` have a clone each, as their LUN 0, of one disk with something on it; `storage` is a folder on the file system tried. */
export async function startDaemonOfClones(resources: Resources, storage: string, machines: readonly string[]): Promise<LoopbackDaemon> {
  const daemon = new LoopbackDaemon(resources);
  const entry = (index: number, disks: readonly unknown[]): object => ({
    mac: `52:54:00:16:01:${index.toString(16).padStart(2, "0")}`,
    initiator: "any",
    disks,
  });
  daemon.write({
    storage: { path: storage },
    volumes: { golden: { size: "16M" } },
    machines: {
      maker: entry(255, ["golden"]),
      ...Object.fromEntries(machines.map((name, index) => [name, entry(index, [{ clone: "golden" }])])),
    },
  });
  await daemon.start();
  const maker = await DiskClient.login(resources, daemon.portal, "maker");
  await fillOrigin(maker);
  // Where clones are full copies, nobody may use the origin.
  maker.initiator.vanish();
  return daemon;
}
