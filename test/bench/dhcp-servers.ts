import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { stringify } from "yaml";
import { Daemon } from "../harness/daemon.ts";
import { NetworkNamespace } from "../harness/netns.ts";
import { runOrThrow } from "../harness/process.ts";
import type { Resources } from "../harness/resources.ts";

/** Two namespaces and a cable between them: the server's box, and the clients. */
export interface DhcpLink {
  readonly box: NetworkNamespace;
  readonly serverPort: string;
  /** What stands before a command on the clients' side. */
  readonly clients: readonly string[];
  readonly clientPort: string;
}

interface StartedServer {
  /** Processor time since its start. */
  readonly cpuSeconds: () => number;
}

const SERVER = "172.16.0.1";
const PREFIX_LENGTH = 16;
const FIRST = "172.16.4.0";
const LAST = "172.16.255.250";
const PORT = "dhcp0";
const TICKS_PER_SECOND = 100; // USER_HZ, getconf CLK_TCK

export async function makeLink(resources: Resources): Promise<DhcpLink> {
  const box = await NetworkNamespace.create(resources, "192.168.254.1");
  const holder = box.start(resources, ["unshare", "--net", "--", "sh", "-c", "echo ready; exec sleep infinity"]);
  await holder.output.waitFor(/ready\n/, 10_000);
  const clients = [...box.prefix, "nsenter", "--target", String(holder.pid), "--net", "--"];
  const ip = (words: string, prefix: readonly string[]): Promise<string> => runOrThrow(["ip", ...words.split(" ")], { prefix });
  await ip(`link add ${PORT} type veth peer name eth0 netns ${holder.pid}`, box.prefix);
  await ip(`address add ${SERVER}/${PREFIX_LENGTH} dev ${PORT}`, box.prefix);
  await ip(`link set ${PORT} up`, box.prefix);
  await ip("address add 172.16.0.2/16 dev eth0", clients);
  await ip("link set eth0 up", clients);
  await ip("link set lo up", clients);
  return { box, serverPort: PORT, clients, clientPort: "eth0" };
}

/** Of one process, from /proc/PID/stat: user and system time, fields 14 and 15. */
function cpuSeconds(pid: number): number {
  const fields = readFileSync(`/proc/${pid}/stat`, "utf8")
    .replace(/^.*\) /, "")
    .split(" ");
  return (Number(fields[11]) + Number(fields[12])) / TICKS_PER_SECOND;
}

type Start = (life: Resources, link: DhcpLink, folder: string) => Promise<StartedServer>;

async function rackboot(life: Resources, link: DhcpLink, folder: string): Promise<StartedServer> {
  const files = { config: join(folder, "rackboot.yaml"), socket: join(folder, "control.sock") };
  const config = {
    network: { interface: link.serverPort, address: `${SERVER}/${PREFIX_LENGTH}` },
    dhcp: { range: `${FIRST}-${LAST}`, lease: "12h", unknown: "lease" },
    storage: { path: join(folder, "data") },
  };
  writeFileSync(files.config, stringify(config));
  const daemon = await Daemon.start(life, link.box, files);
  const { pid } = await daemon.status();
  return { cpuSeconds: () => cpuSeconds(pid) };
}

async function kea(life: Resources, link: DhcpLink, folder: string): Promise<StartedServer> {
  const file = join(folder, "kea.json");
  const config = {
    Dhcp4: {
      "interfaces-config": { interfaces: [link.serverPort], "dhcp-socket-type": "raw" },
      "lease-database": { type: "memfile", persist: true, name: join(folder, "leases.csv"), "lfc-interval": 0 },
      "valid-lifetime": 43_200,
      subnet4: [{ subnet: `172.16.0.0/${PREFIX_LENGTH}`, pools: [{ pool: `${FIRST}-${LAST}` }], id: 1 }],
      loggers: [{ name: "kea-dhcp4", severity: "WARN", output_options: [{ output: "stdout" }] }],
    },
  };
  writeFileSync(file, JSON.stringify(config));
  const environment = { KEA_PIDFILE_DIR: folder, KEA_LOCKFILE_DIR: folder };
  const process = link.box.start(life, ["kea-dhcp4", "-c", file], { environment });
  return await untilBound(link, process);
}

async function dnsmasq(life: Resources, link: DhcpLink, folder: string): Promise<StartedServer> {
  const process = link.box.start(life, [
    "dnsmasq",
    "--keep-in-foreground",
    "--conf-file=/dev/null",
    "--port=0",
    "--user=root",
    `--interface=${link.serverPort}`,
    `--dhcp-range=${FIRST},${LAST},12h`,
    `--dhcp-leasefile=${join(folder, "leases")}`,
    "--dhcp-lease-max=70000",
    "--pid-file=",
    "--quiet-dhcp",
    // Its probes are an ICMP echo each, one after the other, with three seconds of silence for everybody.
    "--no-ping",
  ]);
  return await untilBound(link, process);
}

/** Neither of them says when it serves. */
async function untilBound(link: DhcpLink, process: { readonly pid: number; readonly output: { tail(): string } }): Promise<StartedServer> {
  for (let tries = 0; tries < 100; tries++) {
    if ((await runOrThrow(["ss", "-Hluanp"], { prefix: link.box.prefix })).match(/:67 /) !== null) {
      return { cpuSeconds: () => cpuSeconds(process.pid) };
    }
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
  throw new Error(`the server did not open port 67:\n${process.output.tail()}`);
}

export type ServerName = "rackboot" | "kea" | "dnsmasq";
export const SERVERS: Readonly<Record<ServerName, Start>> = { rackboot, kea, dnsmasq };
