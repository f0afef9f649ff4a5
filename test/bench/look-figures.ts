/**
 * How long a machine waits for its menu: from a firmware's DISCOVER to the grub.cfg that its own disk asks for, over the wire,
 * on a disk of one terabyte as RHEL lays it out. Root is needed, for network namespaces.
 * Usage: node test/bench/look-figures.ts [--help] [--rounds N]
 * Writes test/bench/results/<host>/looks.json and looks.txt. Exit code: 0 done, 1 a figure was missed, 2 usage.
 */
import { closeSync, fdatasyncSync, mkdirSync, openSync, rmSync, writeFileSync, writeSync } from "node:fs";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { stringify } from "yaml";
import { Daemon } from "../harness/daemon.ts";
import { ensureGuest } from "../harness/guest.ts";
import { rhelDisk } from "../harness/layouts.ts";
import { BRIDGE, NetworkNamespace, SERVER_ADDRESS } from "../harness/netns.ts";
import { run, runOrThrow } from "../harness/process.ts";
import { Resources } from "../harness/resources.ts";
import { describeHost, hostLine, hostName } from "./host.ts";
import { compact, median, summarize } from "./statistics.ts";
import { renderTable } from "./table.ts";

/** The figures to reach, of the project's own promises. */
const COLD_MS = 2000;
const WARM_MS = 20;
const DISK_BYTES = 2 ** 40;
const MAC = "52:54:00:16:00:10";
/** Where no file system of the disk has anything. */
const ELSEWHERE = 2 ** 39;

const root = join(import.meta.dirname, "..", "..");
const directory = join(root, "build", "look-figures");
const disk = join(directory, "uqbar.raw");
const resources = new Resources();

interface Answer {
  readonly menuMs: number;
  readonly status: number;
  readonly menu: string;
}

/** A port of the switch with the machine's address behind it; returns what stands before a command there. */
async function plugIn(rack: NetworkNamespace): Promise<readonly string[]> {
  const holder = rack.start(resources, ["unshare", "--net", "--", "sh", "-c", "echo ready; exec sleep infinity"]);
  await holder.output.waitFor(/ready\n/, 10_000);
  const prefix = [...rack.prefix, "nsenter", "--target", String(holder.pid), "--net", "--"];
  const ip = (words: string, where: readonly string[]): Promise<string> => runOrThrow(["ip", ...words.split(" ")], { prefix: where });
  await ip(`link add port0 type veth peer name eth0 netns ${holder.pid}`, rack.prefix);
  await ip(`link set port0 master ${BRIDGE} up`, rack.prefix);
  await ip(`link set eth0 address ${MAC} up`, prefix);
  await ip("address add 172.16.0.16/24 dev eth0", prefix);
  await ip("route add default dev eth0", prefix);
  // The first packets of a port would wait for their neighbours; a machine's firmware has met them long before.
  await runOrThrow(["ping", "-c", "1", "-W", "5", SERVER_ADDRESS], { prefix }).catch(() => "");
  return prefix;
}

async function ask(prefix: readonly string[]): Promise<number> {
  const client = join(import.meta.dirname, "look-client.ts");
  const vector = join(root, "test/vectors/dhcp/ovmf-pxe-discover.hex");
  const command = [process.execPath, "--no-warnings", client, vector, SERVER_ADDRESS, "/uqbar/grub.cfg"];
  const { code, stdout, stderr } = await run(command, { prefix, timeoutMs: 60_000 });
  if (code !== 0) throw new Error(`the client failed: ${stderr}`);
  const { menuMs, status, menu } = JSON.parse(stdout) as Answer;
  if (status !== 200 || !menu.includes("root=/dev/mapper/rhel-root")) throw new Error(`that is not the disk's menu (${status}):\n${menu}`);
  return menuMs;
}

/** A block that no look reads, as a machine that runs writes all the time. */
function writeElsewhere(): void {
  const file = openSync(disk, "r+");
  writeSync(file, Buffer.alloc(4096, Math.floor(Math.random() * 256)), 0, 4096, ELSEWHERE);
  fdatasyncSync(file);
  closeSync(file);
}

async function measure(rounds: number): Promise<Readonly<Record<"cold" | "warm" | "written", readonly number[]>>> {
  rmSync(directory, { recursive: true, force: true });
  mkdirSync(directory, { recursive: true });
  await rhelDisk(await ensureGuest((line) => console.log(line)), disk, DISK_BYTES);
  const files = { config: join(directory, "rackboot.yaml"), socket: join(directory, "control.sock") };
  const config = {
    network: { interface: BRIDGE, address: `${SERVER_ADDRESS}/24` },
    storage: { path: join(directory, "data") },
    machines: { uqbar: { mac: MAC, address: "172.16.0.16", disks: [{ file: disk }] } },
  };
  writeFileSync(files.config, stringify(config));
  const rack = await NetworkNamespace.create(resources);
  const prefix = await plugIn(rack);
  const figures = { cold: [] as number[], warm: [] as number[], written: [] as number[] };
  for (let round = 0; round < rounds; round++) {
    // Neither the daemon nor the page cache knows the disk.
    await runOrThrow(["dd", `of=${disk}`, "oflag=nocache", "conv=notrunc,fdatasync", "count=0", "status=none"]);
    const life = new Resources();
    await Daemon.start(life, rack, files);
    figures.cold.push(await ask(prefix));
    figures.warm.push(await ask(prefix));
    writeElsewhere();
    figures.written.push(await ask(prefix));
    await life.close();
    console.log(`round ${round + 1} of ${rounds}`);
  }
  return figures;
}

const { values } = parseArgs({ options: { help: { type: "boolean" }, rounds: { type: "string", default: "9" } } });
const rounds = Number(values.rounds);
if (values.help === true || !Number.isInteger(rounds) || rounds < 1) {
  console.log("Usage: node test/bench/look-figures.ts [--help] [--rounds N]");
  process.exit(values.help === true ? 0 : 2);
}
try {
  const figures = await measure(rounds);
  const host = describeHost();
  const folder = join(root, "test/bench/results", hostName(host));
  mkdirSync(folder, { recursive: true });
  const row = (what: string, all: readonly number[], promisedMs: number): readonly string[] => {
    const { median: middle, least, most } = summarize(all);
    return [what, compact(middle), compact(least), compact(most), compact(promisedMs)];
  };
  const table = renderTable(
    ["from DISCOVER to grub.cfg", "ms", "least", "most", "promised"],
    [
      row("cold: daemon and page cache know nothing", figures.cold, COLD_MS),
      row("warm: the disk was not written since", figures.warm, WARM_MS),
      row("warm: it was written elsewhere", figures.written, WARM_MS),
    ],
  );
  const text = `${hostLine(host)}\n1 TiB: ESP, xfs /boot, xfs root on LVM; ${rounds} rounds\n\n${table}\n`;
  writeFileSync(join(folder, "looks.txt"), text);
  writeFileSync(join(folder, "looks.json"), `${JSON.stringify({ host, diskBytes: DISK_BYTES, rounds, figures }, null, 2)}\n`);
  console.log(text);
  process.exitCode = median(figures.cold) < COLD_MS && median(figures.warm) < WARM_MS ? 0 : 1;
} finally {
  await resources.close();
}
