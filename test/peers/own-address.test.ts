import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, expect, test } from "vitest";
import { stringify } from "yaml";
import { Daemon } from "../harness/daemon.ts";
import { BRIDGE, NetworkNamespace, SERVER_ADDRESS } from "../harness/netns.ts";
import { Resources } from "../harness/resources.ts";
import { Client } from "./dhcp-client.ts";

const resources = new Resources();
const folder = mkdtempSync(join(tmpdir(), "rackboot-own-"));

afterAll(async () => {
  await resources.close();
  rmSync(folder, { recursive: true, force: true });
});

test("a host that has the server's own address raises fault 4, with its MAC address", async () => {
  const box = await NetworkNamespace.create(resources);
  const other = await Client.plugIn({ resources, box, folder }, "port0", "52:54:00:16:00:99");
  await other.run(["ip", "address", "add", `${SERVER_ADDRESS}/24`, "dev", "eth0"]);
  const files = { config: join(folder, "rackboot.yaml"), socket: join(folder, "control.sock") };
  const network = { interface: BRIDGE, address: `${SERVER_ADDRESS}/24` };
  writeFileSync(files.config, stringify({ network, storage: { path: join(folder, "data") } }));
  const daemon = await Daemon.start(resources, box, files);
  const told = new AbortController();
  for await (const event of daemon.events(told.signal)) {
    if (event.type === "network.conflict") break;
  }
  const { faults } = (await daemon.status()).state;
  expect(faults["address-conflict"]?.reason).toContain(`${SERVER_ADDRESS}, the server's own address, is also that of 52:54:00:16:00:99`);
}, 60_000);
