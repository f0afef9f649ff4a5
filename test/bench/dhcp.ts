/**
 * DHCP side by side: ours, Kea and dnsmasq, each asked by perfdhcp (Kea's own load generator) over a link between two network
 * namespaces, with leases that survive a restart. Four-way exchanges of clients with random MAC addresses, at rising rates,
 * the servers after one another in each round; the figures are medians of the rounds. Root is needed, for network namespaces.
 * Usage: node test/bench/dhcp.ts [--help] [--rates 500,8000,12000,20000] [--seconds N] [--rounds N] [--servers rackboot,kea,dnsmasq]
 * Writes dhcp.json, dhcp.txt and dhcp.svg into test/bench/results/<host>/ when all servers were asked.
 * Exit code: 0 reached, 1 failed or a figure was missed, 2 usage.
 */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { run } from "../harness/process.ts";
import { Resources } from "../harness/resources.ts";
import { type DhcpLink, makeLink, SERVERS, type ServerName } from "./dhcp-servers.ts";
import { describeHost, hostLine, hostName } from "./host.ts";
import { type Exchanges, readPerfdhcp } from "./perfdhcp.ts";
import { type Plot, renderPlot } from "./plot.ts";
import { Progress } from "./progress.ts";
import { median } from "./statistics.ts";
import { renderTable } from "./table.ts";

/** What is promised of ours: this many exchanges a second without a drop, 99 of 100 within this time. */
const PROMISED_RATE = 8000;
const PROMISED_P99_MS = 10;
/** As many as the range has addresses, or fewer: who comes a second time renews. */
const CLIENTS = 60_000;
/** What a server does once, compiling its code or asking the wire for its first addresses, is not what is measured. */
const WARM = { rate: 2000, seconds: 3 } as const;

const root = join(import.meta.dirname, "..", "..");
const directory = join(root, "build", "dhcp-figures");

interface Figure extends Exchanges {
  readonly server: ServerName;
  readonly offeredPerSecond: number;
  /** Processor time of the server in microseconds for each whole exchange. */
  readonly cpuMicroseconds: number;
}

type Words = readonly string[];

const perfdhcp = ({ clientPort }: DhcpLink, rate: number, seconds: number): Words => {
  return ["perfdhcp", "-4", "-l", clientPort, "-r", `${rate}`, "-p", `${seconds}`, "-R", `${CLIENTS}`, "-W", "1000000"];
};

async function measure(server: ServerName, offeredPerSecond: number, seconds: number, link: DhcpLink): Promise<Figure> {
  const life = new Resources();
  const folder = mkdtempSync(join(directory, `${server}-`));
  try {
    const started = await SERVERS[server](life, link, folder);
    const ask = (words: Words): ReturnType<typeof run> => run(words, { prefix: link.clients, timeoutMs: (seconds + 60) * 1000 });
    await ask(perfdhcp(link, WARM.rate, WARM.seconds));
    const before = started.cpuSeconds();
    const { stdout, stderr } = await ask([...perfdhcp(link, offeredPerSecond, seconds), "-x", "t"]);
    const exchanges = readPerfdhcp(stdout, seconds);
    if (exchanges === undefined) throw new Error(`perfdhcp said nothing about ${server}:\n${stderr}\n${stdout.slice(0, 2000)}`);
    const cpuMicroseconds = ((started.cpuSeconds() - before) * 1e6) / Math.max(1, exchanges.acknowledged);
    return { server, offeredPerSecond, ...exchanges, cpuMicroseconds };
  } finally {
    await life.close();
  }
}

/** Of each number the median, since each of them has its own disturbances. */
function middle(figures: readonly Figure[]): Figure {
  const [first] = figures;
  if (first === undefined) throw new RangeError("the median of nothing");
  const of = (read: (figure: Figure) => number): number => median(figures.map(read));
  const delays = (half: "discover" | "request"): Figure["discover"] => ({
    medianMs: of((figure) => figure[half].medianMs),
    p99Ms: of((figure) => figure[half].p99Ms),
  });
  return {
    ...first,
    acknowledged: of((figure) => figure.acknowledged),
    perSecond: of((figure) => figure.perSecond),
    drops: of((figure) => figure.drops),
    dropsPercent: of((figure) => figure.dropsPercent),
    discover: delays("discover"),
    request: delays("request"),
    cpuMicroseconds: of((figure) => figure.cpuMicroseconds),
  };
}

function row(figure: Figure): readonly string[] {
  const { server, offeredPerSecond, perSecond, dropsPercent, discover, request, cpuMicroseconds } = figure;
  const times = [discover.medianMs, discover.p99Ms, request.medianMs, request.p99Ms].map((ms) => ms.toFixed(2));
  return [server, `${offeredPerSecond}`, perSecond.toFixed(0), dropsPercent.toFixed(1), ...times, cpuMicroseconds.toFixed(0)];
}

interface Outcome {
  readonly medians: readonly Figure[];
  /** The most exchanges a second that each server did at any rate. */
  readonly saturation: Readonly<Partial<Record<ServerName, number>>>;
}

function outcomeOf(figures: readonly Figure[]): Outcome {
  const groups = Map.groupBy(figures, ({ server, offeredPerSecond }) => `${server} ${offeredPerSecond}`);
  const medians = [...groups.values()].map(middle);
  const most = Map.groupBy(medians, ({ server }) => server);
  return {
    medians,
    saturation: Object.fromEntries([...most].map(([server, all]) => [server, Math.max(...all.map(({ perSecond }) => perSecond))])),
  };
}

/** What is promised, as far as it was measured, and whether it is kept. */
function goalsOf({ medians, saturation }: Outcome): readonly (readonly [goal: string, isReached: boolean])[] {
  const promised = medians.find((figure) => figure.server === "rackboot" && figure.offeredPerSecond === PROMISED_RATE);
  const goals: (readonly [string, boolean])[] = [];
  if (promised !== undefined) {
    const p99Ms = Math.max(promised.discover.p99Ms, promised.request.p99Ms);
    goals.push([`${promised.dropsPercent.toFixed(2)} % dropped at ${PROMISED_RATE}/s, none promised`, promised.drops === 0]);
    goals.push([`p99 ${p99Ms.toFixed(2)} ms at ${PROMISED_RATE}/s, below ${PROMISED_P99_MS} promised`, p99Ms < PROMISED_P99_MS]);
  }
  const { rackboot, kea } = saturation;
  if (rackboot !== undefined && kea !== undefined) {
    goals.push([`at most ${rackboot.toFixed(0)}/s; Kea, whose leases wait for no disk, ${kea.toFixed(0)}/s`, rackboot >= kea]);
  }
  return goals;
}

/** Writes and prints it; whether all of it is as it should be. */
function report(figures: readonly Figure[], seconds: number, rounds: number, isWhole: boolean): boolean {
  const host = describeHost();
  const outcome = outcomeOf(figures);
  const goals = goalsOf(outcome);
  const head = ["server", "offered/s", "done/s", "drops %", "offer ms", "p99", "ack ms", "p99", "cpu us"];
  const text = `${hostLine(host)}
perfdhcp over a veth pair, ${seconds} s each, medians of ${rounds} rounds, ${CLIENTS} clients. Ours flushes leases to the disk before it acknowledges.

${renderTable(head, outcome.medians.map(row))}

${goals.map(([goal, isReached]) => `${isReached ? "reached    " : "NOT REACHED"}  ${goal}`).join("\n")}
`;
  console.log(`\n${text}`);
  if (isWhole) {
    const folder = join(root, "test/bench/results", hostName(host));
    mkdirSync(folder, { recursive: true });
    writeFileSync(join(folder, "dhcp.txt"), text);
    writeFileSync(
      join(folder, "dhcp.json"),
      `${JSON.stringify({ host, seconds, clients: CLIENTS, ...outcome, rounds: figures }, null, 2)}\n`,
    );
    writeFileSync(join(folder, "dhcp.svg"), renderPlot(plotOf(outcome)));
  }
  return goals.every(([, isReached]) => isReached);
}

function plotOf({ medians }: Outcome): Plot {
  const lines = Map.groupBy(medians, ({ server }) => server);
  return {
    title: "DHCP exchanges done a second",
    xLabel: "exchanges offered a second",
    yLabel: "done a second",
    series: [...lines].map(([name, all]) => ({
      name,
      points: all.map(({ offeredPerSecond, perSecond }) => ({ x: offeredPerSecond, y: perSecond })),
    })),
  };
}

const HELP =
  "Usage: node test/bench/dhcp.ts [--help] [--rates 500,8000,12000,20000] [--seconds N] [--rounds N] [--servers rackboot,kea,dnsmasq]";

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: {
      help: { type: "boolean" },
      rates: { type: "string", default: "500,8000,12000,20000" },
      seconds: { type: "string", default: "3" },
      rounds: { type: "string", default: "3" },
      servers: { type: "string", default: Object.keys(SERVERS).join(",") },
    },
  });
  const rates = values.rates.split(",").map(Number);
  const [seconds, rounds] = [Number(values.seconds), Number(values.rounds)];
  const servers = values.servers.split(",").filter((name): name is ServerName => Object.hasOwn(SERVERS, name));
  const isGood = [...rates, seconds, rounds].every((number) => Number.isInteger(number) && number >= 1) && servers.length > 0;
  if (values.help === true || !isGood) {
    console.log(HELP);
    process.exitCode = values.help === true ? 0 : 2;
    return;
  }
  const resources = new Resources();
  try {
    rmSync(directory, { recursive: true, force: true });
    mkdirSync(directory, { recursive: true });
    const link = await makeLink(resources);
    const progress = new Progress(rounds * rates.length * servers.length);
    const figures: Figure[] = [];
    for (let round = 1; round <= rounds; round++) {
      for (const rate of rates) {
        progress.begin(`round ${round}: ${rate} exchanges a second offered`);
        for (const server of servers) {
          figures.push(await measure(server, rate, seconds, link));
          progress.step(server);
        }
      }
    }
    progress.stop();
    if (!report(figures, seconds, rounds, servers.length === Object.keys(SERVERS).length)) process.exitCode = 1;
  } finally {
    await resources.close();
  }
}

try {
  await main();
} catch (error) {
  const isUsage = (error as { code?: string }).code?.startsWith("ERR_PARSE_ARGS") === true;
  console.error(isUsage ? `${(error as Error).message}\n${HELP}` : error);
  process.exitCode = isUsage ? 2 : 1;
}
