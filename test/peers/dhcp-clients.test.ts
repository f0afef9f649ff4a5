import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, expect, test } from "vitest";
import { BRIDGE, NetworkNamespace } from "../harness/netns.ts";
import { type BackgroundProcess, runOrThrow } from "../harness/process.ts";
import { Resources } from "../harness/resources.ts";
import { Client, type ClientPlace } from "./dhcp-client.ts";

/** The clients that systems run when they are up, and a relay in between, each in a namespace of its own. */

const resources = new Resources();
const folder = mkdtempSync(join(tmpdir(), "rackboot-dhcp-"));
let place: ClientPlace;
let daemon: BackgroundProcess;

beforeAll(async () => {
  const box = await NetworkNamespace.create(resources);
  place = { resources, box, folder };
  const program = fileURLToPath(new URL("./dhcp-daemon.ts", import.meta.url));
  daemon = box.start(resources, [process.execPath, "--no-warnings", program, BRIDGE, folder]);
  await daemon.output.waitFor(/service\.started/, 15_000);
});

afterAll(async () => {
  await resources.close();
  rmSync(folder, { recursive: true });
});

const POOL = /^172\.16\.0\.1\d\d$/;

test("dhcpcd, which probes its address itself, gets one and keeps it", async () => {
  const client = await Client.plugIn(place, "port0", "52:54:00:16:00:40");
  client.boot("mkdir -p /var/lib/dhcpcd\nexec dhcpcd --nobackground -4 --noipv4ll --script /bin/true -f /dev/null eth0");
  expect(await client.address()).toMatch(POOL);
  await daemon.output.waitFor(/"dhcp\.acknowledged","mac":"52:54:00:16:00:40"/, 5000);
});

test("systemd-networkd gets an address", async () => {
  const client = await Client.plugIn(place, "port1", "52:54:00:16:00:41");
  const network = "[Match]\\nName=eth0\\n[Network]\\nDHCP=ipv4\\nIPv6AcceptRA=no\\nLinkLocalAddressing=no\\n";
  client.boot(`mkdir -p /run/systemd/network /run/systemd/netif/links /run/systemd/netif/leases
printf '${network}' > /run/systemd/network/10-eth0.network
chown -R systemd-network /run/systemd/netif
exec /lib/systemd/systemd-networkd`);
  expect(await client.address()).toMatch(POOL);
  await daemon.output.waitFor(/"dhcp\.acknowledged","mac":"52:54:00:16:00:41"/, 5000);
});

test("NetworkManager with its own client gets an address", async () => {
  const client = await Client.plugIn(place, "port2", "52:54:00:16:00:42");
  const connection = "[connection]\\nid=rack\\ntype=ethernet\\ninterface-name=eth0\\n[ipv4]\\nmethod=auto\\n[ipv6]\\nmethod=disabled\\n";
  client.boot(`mkdir -p /run/NetworkManager/system-connections /var/lib/NetworkManager /var/lib/dbus
printf '${connection}' > /run/NetworkManager/system-connections/rack.nmconnection
chmod 600 /run/NetworkManager/system-connections/rack.nmconnection
printf '[main]\\nplugins=keyfile\\ndhcp=internal\\nrc-manager=unmanaged\\ndns=none\\n' > /run/nm.conf
dbus-daemon --system --fork --nopidfile
exec NetworkManager --no-daemon --config /run/nm.conf --config-dir /run/none`);
  expect(await client.address()).toMatch(POOL);
  await daemon.output.waitFor(/"dhcp\.acknowledged","mac":"52:54:00:16:00:42"/, 5000);
});

test("perfdhcp, which looks at every answer, finds each of a thousand exchanges right", async () => {
  const client = await Client.plugIn(place, "port3", "52:54:00:16:00:43");
  await client.run(["ip", "address", "add", "172.16.0.3/24", "dev", "eth0"]);
  const { stdout } = await client.run(["perfdhcp", "-4", "-l", "eth0", "-r", "200", "-R", "50", "-n", "1000", "-W", "2000000"]);
  for (const half of ["DISCOVER-OFFER", "REQUEST-ACK"]) {
    expect(stdout).toMatch(new RegExp(`Statistics for: ${half}[^]*?sent packets: (\\d+)\\s+received packets: \\1\\s+drops: 0`));
  }
  expect(stdout).toContain("Malformed packets: 0");
});

test("behind dhcrelay a client of another network gets its machine's address, and the relay its own option back", async () => {
  const relay = await Client.plugIn(place, "port4", "52:54:00:16:00:44");
  await relay.run(["ip", "address", "add", "172.16.0.4/24", "dev", "eth0"]);
  await relay.run(["sysctl", "-qw", "net.ipv4.ip_forward=1"]);
  const behind = relay.start(["unshare", "--net", "--", "sh", "-c", "echo ready; exec sleep infinity"]);
  await behind.output.waitFor(/ready\n/, 10_000);
  await relay.run(["ip", "link", "add", "down0", "type", "veth", "peer", "name", "eth0", "netns", String(behind.pid)]);
  await relay.run(["ip", "address", "add", "172.16.0.5/32", "dev", "down0"]);
  await relay.run(["ip", "link", "set", "down0", "up"]);
  const inside = ["nsenter", "--target", String(behind.pid), "--net", "--"];
  await runOrThrow(["ip", "link", "set", "eth0", "address", "52:54:00:16:00:10", "up"], { prefix: inside });
  const process = relay.start(["dhcrelay", "-4", "-d", "--no-pid", "-a", "-m", "append", "-id", "down0", "-iu", "eth0", "172.16.0.1"]);
  await process.output.waitFor(/Sending on +Socket\/fallback/, 10_000);
  const { stderr } = await relay.run([
    ...inside,
    "busybox",
    "udhcpc",
    "-f",
    "-n",
    "-q",
    "-t",
    "3",
    "-T",
    "2",
    "-s",
    "/bin/true",
    "-i",
    "eth0",
  ]);
  expect(stderr).toContain("lease of 172.16.0.16 obtained from 172.16.0.1");
});
