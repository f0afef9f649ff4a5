import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, expect, test } from "vitest";
import { stringify } from "yaml";
import { currentBoot } from "../../src/state/state.ts";
import { Daemon } from "../harness/daemon.ts";
import { BRIDGE, NetworkNamespace } from "../harness/netns.ts";
import { Resources } from "../harness/resources.ts";
import { Client } from "./dhcp-client.ts";
import { GIVEN, OTHER_SERVER, startOtherServer } from "./dnsmasq.ts";

/** A network whose addresses are dnsmasq's: the daemon gives nothing but what to boot, to a machine whose address nobody told it. */

const resources = new Resources();
const folder = mkdtempSync(join(tmpdir(), "rackboot-proxy-"));
let daemon: Daemon;
let uqbar: Client;

beforeAll(async () => {
  for (const name of ["vmlinuz", "initrd"]) writeFileSync(join(folder, name), `uqbar's ${name}`);
  const boot = { kernel: join(folder, "vmlinuz"), initrd: join(folder, "initrd"), arguments: "root=LABEL=root" };
  const config = {
    network: { interface: BRIDGE, address: "172.16.0.1/24" },
    dhcp: { mode: "proxy" },
    storage: { path: join(folder, "data") },
    machines: { uqbar: { mac: "52:54:00:16:00:10", boot }, tlon: { mac: "52:54:00:16:00:11", boot } },
  };
  const files = { config: join(folder, "rackboot.yaml"), socket: join(folder, "control.sock") };
  writeFileSync(files.config, stringify(config));
  const box = await NetworkNamespace.create(resources);
  daemon = await Daemon.start(resources, box, files);
  uqbar = await Client.plugIn({ resources, box, folder }, "port0", "52:54:00:16:00:10");
  await startOtherServer(resources, box, folder);
});

afterAll(async () => {
  await resources.close();
  rmSync(folder, { recursive: true, force: true });
});

test("firmware hears dnsmasq's address and our boot file, each from its own server", async () => {
  const program = fileURLToPath(new URL("./firmware-client.ts", import.meta.url));
  const { code, stdout, stderr } = await uqbar.run([process.execPath, "--no-warnings", program, "eth0"]);
  expect([code, stderr]).toEqual([0, ""]);
  const replies = stdout
    .trim()
    .split("\n")
    .map((line) => JSON.parse(line) as object);
  expect(replies).toContainEqual(
    expect.objectContaining({ type: 2, server: "172.16.0.1", yiaddr: "0.0.0.0", vendorClass: "PXEClient", file: "uqbar/snponly.efi" }),
  );
  expect(replies).toContainEqual(expect.objectContaining({ type: 2, server: OTHER_SERVER, yiaddr: GIVEN, file: "" }));
  expect(replies).toContainEqual(expect.objectContaining({ type: 5, server: OTHER_SERVER, yiaddr: GIVEN }));
  // Nobody is given an address by both.
  expect(replies).not.toContainEqual(expect.objectContaining({ type: 5, server: "172.16.0.1" }));
});

test("the machine is known at the address that the other server gave it, and reads its files there and nobody else's", async () => {
  await uqbar.run(["ip", "address", "add", `${GIVEN}/24`, "dev", "eth0"]);
  const fetch = (path: string) => uqbar.run(["curl", "-sS", "--fail", path]);
  expect((await fetch("tftp://172.16.0.1/grub/grub.cfg")).stdout).toContain("linux $server/uqbar/vmlinuz root=LABEL=root");
  expect((await fetch("http://172.16.0.1/uqbar/vmlinuz")).stdout).toBe("uqbar's vmlinuz");
  expect((await fetch("http://172.16.0.1/tlon/vmlinuz")).code).not.toBe(0);
  expect(currentBoot((await daemon.status()).state, "uqbar")).toMatchObject({ firmware: "uefi-x64-pxe", outcome: "booting" });
});

test("a machine that dnsmasq has given another's old address is itself there: the wire says who it is, not what was overheard", async () => {
  await uqbar.run(["ip", "link", "set", "eth0", "address", "52:54:00:16:00:11"]);
  const { stdout } = await uqbar.run(["curl", "-sS", "--fail", "tftp://172.16.0.1/grub/grub.cfg"]);
  expect(stdout).toContain("linux $server/tlon/vmlinuz");
});
