import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, expect, test } from "vitest";
import { BRIDGE, NetworkNamespace } from "../harness/netns.ts";
import type { BackgroundProcess } from "../harness/process.ts";
import { Resources } from "../harness/resources.ts";
import { Client } from "./dhcp-client.ts";

/**
 * Other people's DHCP clients, each in a network namespace of its own behind a port of the rack's switch, against the
 * service on a box that has a second network on which it must keep silent.
 */

const resources = new Resources();
const folder = mkdtempSync(join(tmpdir(), "rackboot-dhcp-"));
let box: NetworkNamespace;
let daemon: BackgroundProcess;

beforeAll(async () => {
  box = await NetworkNamespace.create(resources);
  await startDaemon();
});

afterAll(async () => {
  await resources.close();
  rmSync(folder, { recursive: true });
});

async function startDaemon(): Promise<void> {
  const program = fileURLToPath(new URL("./dhcp-daemon.ts", import.meta.url));
  daemon = box.start(resources, [process.execPath, "--no-warnings", program, BRIDGE, folder]);
  await daemon.output.waitFor(/service\.started/, 15_000);
}

function plugIn(port: string, mac: string, network: "rack" | "other" = "rack"): Promise<Client> {
  return Client.plugIn({ resources, box, folder }, port, mac, network);
}

test("dhclient, which hears no broadcast flag and answers no ARP yet, gets the machine's own address for ever", async () => {
  const client = await plugIn("port0", "52:54:00:16:00:10");
  const { stderr, code } = await client.dhclient();
  expect([code, stderr]).toEqual([0, expect.stringContaining("DHCPACK of 172.16.0.16 from 172.16.0.1")]);
  await daemon.output.waitFor(/"dhcp\.acknowledged","machine":"uqbar".*"address":"172\.16\.0\.16","leaseMs":null/, 5000);
  // The daemon has put it into the kernel's table, and its kernel answers for nobody all the same (RFC 5227, 2.1.1: sender 0.0.0.0).
  const probed = await client.run(["busybox", "arping", "-D", "-c", "2", "-w", "2", "-I", "eth0", "172.16.0.16"]);
  expect([probed.code, probed.stdout]).toEqual([0, expect.stringContaining("Received 0 response")]);
  // It gives its address up from that very address, which /bin/true has not set.
  await client.run(["ip", "address", "add", "172.16.0.16/24", "dev", "eth0"]);
  await client.dhclient("-r");
  await daemon.output.waitFor(/"dhcp\.released".*"address":"172\.16\.0\.16"/, 5000);
});

test("udhcpc gets an address of the pool, the same after kill -9 of the daemon", async () => {
  const client = await plugIn("port1", "52:54:00:16:00:21");
  const first = await client.udhcpc();
  expect(first.stderr).toContain("lease of 172.16.0.100 obtained from 172.16.0.1, lease time 3600");
  const other = await plugIn("port2", "52:54:00:16:00:22");
  expect((await other.udhcpc()).stderr).toContain("lease of 172.16.0.101 obtained");

  await daemon.stop("SIGKILL");
  await startDaemon();
  expect((await other.udhcpc()).stderr).toContain("lease of 172.16.0.101 obtained");
  expect((await client.udhcpc()).stderr).toContain("lease of 172.16.0.100 obtained");
});

test("udhcpc that asks for an address of another network is told no, and starts again", async () => {
  const client = await plugIn("port3", "52:54:00:16:00:23");
  expect((await client.udhcpc("-r", "10.9.9.9")).stderr).toMatch(/lease of 172\.16\.0\.1\d\d obtained/);
});

test("dhclient and udhcpc find the options that travel in file and sname", async () => {
  const script = join(folder, "script");
  const environment = join(folder, "environment");
  writeFileSync(script, `#!/bin/sh\nenv >> ${environment}\n`, { mode: 0o755 });
  const client = await plugIn("port6", "52:54:00:16:00:26");
  await client.udhcpc("-s", script);
  const seen = readFileSync(environment, "utf8");
  for (const [code, octet, count] of [
    [224, "41", 110],
    [225, "42", 100],
    [226, "43", 60],
  ] as const) {
    expect(seen).toContain(`opt${code}=${octet.repeat(count)}\n`);
  }
  await client.dhclient("-sf", script);
  const leases = readFileSync(join(folder, "port6.leases"), "utf8");
  for (const [code, letter, count] of [
    [224, "A", 110],
    [225, "B", 100],
    [226, "C", 60],
  ] as const) {
    expect(leases).toContain(`option unknown-${code} "${letter.repeat(count)}"`);
  }
});

test("an address that somebody uses without having been given it is offered to nobody, and is told of until it is free", async () => {
  const squatter = await plugIn("port7", "52:54:00:16:00:27");
  const asker = await plugIn("port8", "52:54:00:16:00:28");
  // Whatever the asker is given next is what the squatter has.
  const wanted = /lease of (\S+) obtained/.exec((await asker.udhcpc()).stderr)?.[1] ?? "";
  const next = wanted.replace(/\d+$/, (last) => String(Number(last) + 1));
  await squatter.run(["ip", "address", "add", `${next}/24`, "dev", "eth0"]);
  const other = await plugIn("port9", "52:54:00:16:00:29");
  const given = /lease of (\S+) obtained/.exec((await other.udhcpc("-T", "3")).stderr)?.[1];
  expect(given).toBe(wanted.replace(/\d+$/, (last) => String(Number(last) + 2)));
  await daemon.output.waitFor(new RegExp(`"dhcp.conflict","address":"${next}","mac":"52:54:00:16:00:27"`), 5000);
  await squatter.run(["ip", "address", "flush", "dev", "eth0"]);
  await daemon.output.waitFor(new RegExp(`"dhcp.conflictOver","address":"${next}"`), 15_000);
});

// Last of those that are given addresses: its namespace answers for a part of the pool.
test("the npm dhcp client gets a lease", async () => {
  const client = await plugIn("port4", "52:54:00:16:00:24");
  const program = `
    const client = require("dhcp").createClient({ mac: "52:54:00:16:00:24" });
    client.on("error", (error) => { console.error(error); process.exit(1); });
    client.on("bound", (state) => { console.log("bound", state.address, state.server, state.options.domainName); process.exit(0); });
    client.listen(68, "0.0.0.0", () => client.sendDiscover());
    setTimeout(() => process.exit(2), 10000);`;
  // It reads from a plain socket, to which the kernel gives only what is for an address of its own.
  await client.run(["ip", "route", "add", "default", "dev", "eth0"]);
  await client.run(["ip", "route", "add", "local", "172.16.0.96/27", "dev", "lo"]);
  const { stdout } = await client.run([process.execPath, "-e", program]);
  expect(stdout).toMatch(/bound 172\.16\.0\.1\d\d 172\.16\.0\.1 rack\.example/);
});

test("another DHCP server on the network is told of with its MAC address, and so is that it has gone", async () => {
  const rogue = await plugIn("port10", "52:54:00:16:00:2a");
  await rogue.run(["ip", "address", "add", "172.16.0.66/24", "dev", "eth0"]);
  const range = "--dhcp-range=172.16.0.210,172.16.0.219,1h";
  const options = ["--keep-in-foreground", "--conf-file=/dev/null", "--port=0", "--user=root", "--pid-file=", "--no-ping"];
  const server = rogue.start(["dnsmasq", ...options, "--interface=eth0", range, `--dhcp-leasefile=${join(folder, "rogue")}`]);
  await daemon.output.waitFor(/"dhcp.rogue","server":"172.16.0.66","mac":"52:54:00:16:00:2a"/, 20_000);
  await server.stop();
  await daemon.output.waitFor(/"dhcp.rogueGone","server":"172.16.0.66"/, 20_000);
});

test("a client on the box's other network gets no answer, and its DISCOVER is not even seen", async () => {
  const client = await plugIn("port5", "52:54:00:16:00:25", "other");
  const { code } = await client.udhcpc();
  expect(code).not.toBe(0);
  expect(daemon.output.text).not.toContain("52:54:00:16:00:25");
});
