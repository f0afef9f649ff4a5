/**
 * DHCP side by side: ours, Kea and dnsmasq, each asked by perfdhcp (Kea's own load generator) over a link between two network
 * namespaces, with leases that survive a restart. Four-way exchanges of clients with random MAC addresses, at rising rates.
 * Root is needed, for network namespaces.
 * Usage: node test/bench/dhcp.ts [--help] [--rates 500,2000,8000,20000] [--seconds N] [--servers rackboot,kea,dnsmasq]
 * Writes test/bench/results/<host>/dhcp.json and dhcp.txt. Exit code: 0 done, 1 a promised figure was missed, 2 usage.
 */
import { mkdirSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { parseArgs } from "node:util";
import { run } from "../harness/process.ts";
import { Resources } from "../harness/resources.ts";
import { type DhcpLink, makeLink, SERVERS, type ServerName } from "./dhcp-servers.ts";
import { describeHost, hostLine, hostName } from "./host.ts";
import { type Exchanges, readPerfdhcp } from "./perfdhcp.ts";
import { Progress } from "./progress.ts";
import { renderTable } from "./table.ts";

/** What is promised of ours: this many exchanges a second without a drop, 99 of 100 within this time. */
const PROMISED_RATE = 8000;
const PROMISED_P99_MS = 10;
/** As many as the range has addresses, or fewer: who comes a second time renews. */
const CLIENTS = 60_000;

const root = join(import.meta.dirname, "..", "..");
const directory = join(root, "build", "dhcp-figures");

const WARM_RATE = 500;
const WARM_SECONDS = 2;

interface Figure extends Exchanges {
  readonly server: ServerName;
  readonly offeredPerSecond: number;
  /** Processor time of the server in microseconds for each whole exchange. */
  readonly cpuMicroseconds: number;
}

async function measure(server: ServerName, offeredPerSecond: number, seconds: number, link: DhcpLink): Promise<Figure> {
  const life = new Resources();
  const folder = join(directory, `${server}-${offeredPerSecond}`);
  mkdirSync(folder, { recursive: true });
  try {
    const started = await SERVERS[server](life, link, folder);
    await sleep(500);
    // What a server does once, compiling its code or asking the wire for its first addresses, is not what is measured.
    const warming = ["perfdhcp", "-4", "-l", link.clientPort, "-r", `${WARM_RATE}`, "-p", `${WARM_SECONDS}`, "-R", `${CLIENTS}`];
    await run(warming, { prefix: link.clients, timeoutMs: 60_000 });
    const before = started.cpuSeconds();
    const command = [
      "perfdhcp",
      "-4",
      "-W",
      "1000000",
      "-l",
      link.clientPort,
      "-r",
      `${offeredPerSecond}`,
      "-p",
      `${seconds}`,
      "-R",
      `${CLIENTS}`,
    ];
    const { stdout, stderr } = await run([...command, "-x", "t"], { prefix: link.clients, timeoutMs: (seconds + 60) * 1000 });
    const exchanges = readPerfdhcp(stdout, seconds);
    if (exchanges === undefined) throw new Error(`perfdhcp said nothing about ${server}:\n${stderr}\n${stdout.slice(0, 2000)}`);
    const cpuMicroseconds = ((started.cpuSeconds() - before) * 1e6) / Math.max(1, exchanges.acknowledged);
    return { server, offeredPerSecond, ...exchanges, cpuMicroseconds };
  } finally {
    await life.close();
  }
}

function row(figure: Figure): readonly string[] {
  const { server, offeredPerSecond, perSecond, dropsPercent, discover, request, cpuMicroseconds } = figure;
  const times = [discover.medianMs, discover.p99Ms, request.medianMs, request.p99Ms].map((ms) => ms.toFixed(2));
  return [server, `${offeredPerSecond}`, perSecond.toFixed(0), dropsPercent.toFixed(1), ...times, cpuMicroseconds.toFixed(0)];
}

const { values } = parseArgs({
  options: {
    help: { type: "boolean" },
    rates: { type: "string", default: "500,2000,8000,20000" },
    seconds: { type: "string", default: "5" },
    servers: { type: "string", default: Object.keys(SERVERS).join(",") },
  },
});
const rates = values.rates.split(",").map(Number);
const seconds = Number(values.seconds);
const servers = values.servers.split(",").filter((name): name is ServerName => Object.hasOwn(SERVERS, name));
if (values.help === true || rates.some((rate) => !Number.isInteger(rate) || rate < 1) || !(seconds >= 1) || servers.length === 0) {
  console.log("Usage: node test/bench/dhcp.ts [--help] [--rates 500,2000,8000,20000] [--seconds N] [--servers rackboot,kea,dnsmasq]");
  process.exit(values.help === true ? 0 : 2);
}

const resources = new Resources();
try {
  rmSync(directory, { recursive: true, force: true });
  const link = await makeLink(resources);
  const progress = new Progress(rates.length * servers.length);
  const figures: Figure[] = [];
  // By rate, and the servers after one another: what disturbs the machine meanwhile disturbs all of them.
  for (const rate of rates) {
    progress.begin(`${rate} exchanges a second offered`);
    for (const server of servers) {
      figures.push(await measure(server, rate, seconds, link));
      progress.step(server);
    }
  }
  progress.stop();
  const host = describeHost();
  const head = ["server", "offered/s", "done/s", "drops %", "offer ms", "p99", "ack ms", "p99", "cpu us"];
  const text = `${hostLine(host)}\nperfdhcp, ${seconds} s each, ${CLIENTS} clients, leases on disk\n\n${renderTable(head, figures.map(row))}\n`;
  const folder = join(root, "test/bench/results", hostName(host));
  mkdirSync(folder, { recursive: true });
  writeFileSync(join(folder, "dhcp.txt"), text);
  writeFileSync(join(folder, "dhcp.json"), `${JSON.stringify({ host, seconds, clients: CLIENTS, figures }, null, 2)}\n`);
  console.log(text);
  const promised = figures.find((figure) => figure.server === "rackboot" && figure.offeredPerSecond === PROMISED_RATE);
  const kept = (figure: Figure): boolean => figure.drops === 0 && Math.max(figure.discover.p99Ms, figure.request.p99Ms) < PROMISED_P99_MS;
  process.exitCode = promised === undefined || kept(promised) ? 0 : 1;
} finally {
  await resources.close();
}
