import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { ControlClient } from "../../src/control/client.ts";
import type { NetworkSettings } from "../../src/control/network-operations.ts";
import { Daemon } from "../harness/daemon.ts";
import { NetworkNamespace } from "../harness/netns.ts";
import { Resources } from "../harness/resources.ts";

const RACK = `network:
  interface: face0   # towards the switch
  address: 172.17.0.1/24
  manage: true
dhcp: { mode: server, range: 172.17.0.100-172.17.0.199 }
http: { port: 8080 }
storage: { path: ./data }
machines: {}
`;
const MOVED: NetworkSettings = {
  interface: "face0",
  address: "172.18.0.1/24",
  vlan: null,
  dhcpMode: "server",
  dhcpRange: "172.18.0.100-172.18.0.199",
};

let resources: Resources;
let namespace: NetworkNamespace;
let folder: string;
let files: { readonly config: string; readonly socket: string };
let client: ControlClient;

beforeEach(async () => {
  resources = new Resources();
  folder = mkdtempSync(join(tmpdir(), "rackboot-network-"));
  resources.defer("folder", () => rmSync(folder, { recursive: true }));
  files = { config: join(folder, "rackboot.yaml"), socket: join(folder, "run", "control.sock") };
  writeFileSync(files.config, RACK);
  client = new ControlClient(files.socket);
  namespace = await NetworkNamespace.create(resources);
  for (const words of ["link add face0 type veth peer name switch0", "link set switch0 up", "address add 192.0.2.7/24 dev face0"]) {
    expect((await namespace.run(["ip", ...words.split(" ")])).code).toBe(0);
  }
});
afterEach(() => resources.close());

async function addresses(): Promise<readonly string[]> {
  const { stdout } = await namespace.run(["ip", "-4", "-o", "address", "show", "dev", "face0"]);
  return [...stdout.matchAll(/inet (\S+)/g)].map((match) => match[1] ?? "").toSorted();
}

/** What a machine in the rack would see. */
async function answers(address: string): Promise<boolean> {
  const { code } = await namespace.run(["curl", "--silent", "--fail", "--max-time", "5", `http://${address}:8080/metrics`]);
  return code === 0;
}

describe("a network change", () => {
  it("serves on the new address, and is kept in the file with its comments once it is confirmed", async () => {
    const daemon = await Daemon.start(resources, namespace, files);
    expect(await addresses()).toEqual(["172.17.0.1/24", "192.0.2.7/24"]);
    const { pending } = await client.call("network.apply", MOVED);
    expect(pending).toMatchObject({ before: { address: "172.17.0.1/24" } });
    expect(await addresses()).toEqual(["172.18.0.1/24", "192.0.2.7/24"]);
    expect(await answers("172.18.0.1")).toBe(true);
    expect(readFileSync(files.config, "utf8")).toBe(RACK);
    expect(await client.call("network.confirm", {})).toMatchObject({ settings: MOVED });
    expect(readFileSync(files.config, "utf8")).toBe(RACK.replaceAll("172.17.0", "172.18.0"));
    await expect(client.call("network.confirm", {})).rejects.toThrow(/nothing is on trial/);
    expect(daemon.running).toBe(true);
  });

  it("that is taken back leaves nothing of itself, and never the addresses of others", async () => {
    await Daemon.start(resources, namespace, files);
    await client.call("network.apply", MOVED);
    expect(await client.call("network.revert", {})).toMatchObject({ settings: { address: "172.17.0.1/24" } });
    expect(await addresses()).toEqual(["172.17.0.1/24", "192.0.2.7/24"]);
    expect(await answers("172.17.0.1")).toBe(true);
    expect(readFileSync(files.config, "utf8")).toBe(RACK);
  });

  it("is gone when the daemon is killed before it was confirmed", async () => {
    const daemon = await Daemon.start(resources, namespace, files);
    await client.call("network.apply", MOVED);
    await daemon.kill();
    expect(await addresses()).toContain("172.18.0.1/24");
    await Daemon.start(resources, namespace, files);
    expect(await addresses()).toEqual(["172.17.0.1/24", "192.0.2.7/24"]);
    expect((await client.call("network.show", {})).pending).toBeUndefined();
  });

  it("that makes no sense is refused with the reason, and nothing is touched", async () => {
    await Daemon.start(resources, namespace, files);
    await expect(client.call("network.apply", { ...MOVED, dhcpRange: "10.0.0.1-10.0.0.9" })).rejects.toThrow(
      /inside the network of 172\.18/,
    );
    await expect(client.call("network.apply", { ...MOVED, interface: "nosuch0" })).rejects.toThrow(/nosuch0.*nothing was changed/s);
    expect(await addresses()).toEqual(["172.17.0.1/24", "192.0.2.7/24"]);
    expect(await answers("172.17.0.1")).toBe(true);
  });
});

describe("a board whose button was held at power-on", () => {
  it("has the factory's address over whatever is on the card, and mends the card's file once a change is kept", async () => {
    const [factory, recovery] = [join(folder, "factory.yaml"), join(folder, "recovery")];
    writeFileSync(factory, RACK.replaceAll("172.17.0", "172.16.0"));
    writeFileSync(recovery, "");
    const options = ["--factory", factory, "--recovery", recovery];
    await Daemon.start(resources, namespace, files, options);
    expect(await addresses()).toEqual(["172.16.0.1/24", "192.0.2.7/24"]);
    expect(readFileSync(files.config, "utf8")).toBe(RACK);
    await client.call("network.apply", MOVED);
    await client.call("network.revert", {});
    expect(await addresses()).toEqual(["172.16.0.1/24", "192.0.2.7/24"]);
    expect(existsSync(recovery)).toBe(true);
    await client.call("network.apply", MOVED);
    await client.call("network.confirm", {});
    expect(readFileSync(files.config, "utf8")).toBe(RACK.replaceAll("172.17.0", "172.18.0"));
    expect(existsSync(recovery)).toBe(false);
  });
});
