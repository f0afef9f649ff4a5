import { once } from "node:events";
import { readFileSync, writeFileSync } from "node:fs";
import { type AddressInfo, createServer } from "node:net";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { ControlClient } from "../../src/control/client.ts";
import { RACKBOOT } from "../harness/daemon.ts";
import { type Result, run } from "../harness/process.ts";
import { Resources } from "../harness/resources.ts";
import { BusyMachine, DiskClient } from "./disk-client.ts";
import { LoopbackDaemon } from "./loopback-daemon.ts";

/** The configuration, changed from the command line while the daemon serves it. */

let resources: Resources;
let daemon: LoopbackDaemon;

beforeEach(async () => {
  resources = new Resources();
  daemon = new LoopbackDaemon(resources);
  const machines = `
# The rack in the cellar.
volumes:
  uqbar-root: { size: 16M }
  tlon-root: { size: 16M }
machines:
  uqbar: { mac: "52:54:00:16:00:10", disks: [uqbar-root], initiator: any }   # the left one
`;
  writeFileSync(daemon.config, daemon.text() + machines);
  await daemon.start();
});
afterEach(() => resources.close());

function rackboot(...words: readonly string[]): Promise<Result> {
  return run([process.execPath, "--no-warnings", RACKBOOT, ...words, "--socket", daemon.socket]);
}

function file(): string {
  return readFileSync(daemon.config, "utf8");
}

const login = (name: string): Promise<DiskClient> => DiskClient.login(resources, daemon.portal, name);
const TLON = ["machine", "add", "tlon", "--mac", "52:54:00:16:00:11", "--disk", "tlon-root", "--initiator", "any"] as const;

describe("a machine that is added from the command line", () => {
  it("is served when the command returns, and one that runs does not notice; removed, it is gone", async () => {
    const busy = new BusyMachine(await login("uqbar"));
    const added = await rackboot(...TLON);
    expect([added.code, added.stdout]).toEqual([0, `tlon was added (${daemon.config})\n`]);
    const tlon = await login("tlon");
    expect((await tlon.write(0, new Uint8Array(512))).status).toBe(0);
    expect(file()).toContain("# The rack in the cellar.\n");
    expect(file()).toContain("   # the left one\n");

    const refused = await rackboot("machine", "remove", "tlon");
    expect([refused.code, refused.stderr]).toEqual([1, expect.stringContaining("tlon is running from its disks; shut it down first")]);
    expect((await rackboot("machine", "remove", "tlon", "--force")).code).toBe(0);
    await tlon.initiator.closed;
    expect(file()).not.toContain("tlon:");
    expect(await busy.stop()).toBeGreaterThan(0);
    expect(daemon.count(/uqbar is disconnected/)).toBe(0);
  });

  it("is refused where it would not be right, and nothing is changed", async () => {
    const before = file();
    const refused = await rackboot("machine", "add", "tlon", "--mac", "52:54:00:16:00:10");
    expect(refused.code).toBe(1);
    expect(refused.stderr).toMatch(/rackboot\.yaml:\d+:\d+: machines\.tlon\.mac: found 52:54:00:16:00:10, which machine uqbar has/);
    expect(refused.stderr).toContain("Nothing was changed.");
    expect(file()).toBe(before);
  });
});

describe("a machine that moves", () => {
  it("has other hardware, and is refused while it runs", async () => {
    const uqbar = await login("uqbar");
    const move = ["machine", "move", "uqbar", "--mac", "52:54:00:16:00:20"] as const;
    const refused = await rackboot(...move);
    expect([refused.code, refused.stderr]).toEqual([1, expect.stringContaining("uqbar is running from its disks; shut it down first")]);
    expect((await rackboot(...move, "--force")).code).toBe(0);
    expect((await uqbar.write(0, new Uint8Array(512))).status).toBe(0);
    const { machine } = await new ControlClient(daemon.socket).call("machine.show", { name: "uqbar" });
    expect(machine.macs).toEqual(["52:54:00:16:00:20"]);
  });

  it("changes places with another", async () => {
    expect((await rackboot(...TLON)).code).toBe(0);
    expect((await rackboot("machine", "swap", "uqbar", "tlon")).stdout).toContain("uqbar and tlon change places at their next power-on");
    expect(file()).toContain('uqbar: { mac: "52:54:00:16:00:11", disks: [uqbar-root], initiator: any }   # the left one');
  });
});

describe("a single key", () => {
  it("is read, set and taken away", async () => {
    expect((await rackboot("config", "set", "dhcp.lease", "2h")).code).toBe(0);
    expect((await rackboot("config", "get", "dhcp.lease")).stdout).toBe("2h\n");
    expect((await rackboot("config", "unset", "dhcp.lease")).code).toBe(0);
    expect((await rackboot("config", "get", "dhcp.lease")).stdout).toBe("");
    const port = await rackboot("config", "set", "iscsi.port", "3261");
    expect(port.stderr).toContain("iscsi.port, iscsi.threads, iscsi.memory: in force from the next start of the daemon");
  });

  it("that cannot be had is refused, and the file is what it was", async () => {
    const before = file();
    const other = createServer().listen(0, daemon.address);
    resources.defer("a server that has the port", () => void other.close());
    await once(other, "listening");
    const refused = await rackboot("config", "set", "http.port", String((other.address() as AddressInfo).port));
    expect(refused.code).toBe(1);
    expect(refused.stderr).toContain("nothing was changed");
    expect(file()).toBe(before);
    expect((await fetch(`${daemon.url}/healthz`)).status).toBe(200);
  });

  it("is not set over what a person saved after the caller looked", async () => {
    const client = new ControlClient(daemon.socket);
    const { version } = await client.call("config.get", {});
    writeFileSync(daemon.config, `${file()}# a word more\n`);
    await expect(client.call("config.set", { path: ["dhcp", "lease"], value: "2h", version })).rejects.toThrow(
      "has changed since it was read",
    );
  });
});
