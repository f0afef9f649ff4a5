/**
 * How long GRUB takes for a kernel and an initramfs: by TFTP from us, by HTTP from us, by TFTP from dnsmasq, in turns, in one emulated UEFI
 * machine. GRUB's TFTP is lock step at 1024 octets whoever serves it, so that a round trip a block is what it measures.
 * Root is needed, for network namespaces. Usage: node test/bench/grub.ts [--help] [--rounds N]
 * Writes test/bench/results/<host>/grub.json and grub.txt. Exit code: 0 done, 1 HTTP was not the faster, or ours slower than dnsmasq, 2 usage.
 */
import { mkdirSync, statSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { parseArgs } from "node:util";
import { ensureGuest, GUEST_ARGUMENTS, type Guest } from "../harness/guest.ts";
import { emptyDirectory, LoneMachine } from "../harness/lone-machine.ts";
import { SERVER_ADDRESS } from "../harness/netns.ts";
import { networkGrub } from "../harness/network-grub.ts";
import { Resources } from "../harness/resources.ts";
import { Client } from "../peers/dhcp-client.ts";
import { describeHost, hostLine, hostName } from "./host.ts";
import { median } from "./statistics.ts";
import { renderTable } from "./table.ts";

const DNSMASQ = "172.16.0.66";
const ROUNDS = 3;
/** What a difference is under that means nothing. */
const NOISE = 1.1;

interface Way {
  readonly name: string;
  readonly kernel: string;
  readonly initrd: string;
}

const WAYS: readonly [tftp: Way, http: Way, dnsmasq: Way] = [
  { name: "rackboot, TFTP", kernel: `(tftp,${SERVER_ADDRESS})/uqbar/vmlinuz`, initrd: `(tftp,${SERVER_ADDRESS})/uqbar/initrd` },
  { name: "rackboot, HTTP", kernel: `(http,${SERVER_ADDRESS})/uqbar/vmlinuz`, initrd: `(http,${SERVER_ADDRESS})/uqbar/initrd` },
  { name: "dnsmasq, TFTP", kernel: `(tftp,${DNSMASQ})/vmlinuz`, initrd: `(tftp,${DNSMASQ})/initrd.img` },
];

/** GRUB says when it begins and when it has both; the serial line brings it here at once. */
function script(rounds: number): readonly string[] {
  const turn = WAYS.flatMap(({ kernel, initrd }, index) => [
    `echo "begins <${index}>"`,
    // What GRUB carries inside itself is read by its rescue shell, which knows no `if`: what fails says "error:".
    `linux ${kernel}`,
    `initrd ${initrd}`,
    `echo "has <${index}>"`,
  ]);
  return [...Array.from({ length: rounds }, () => turn).flat(), 'echo "measured"', "sleep 600"];
}

/** TFTP alone, on a port of the switch of its own; the guest's own folder is what it serves. */
async function startDnsmasq(resources: Resources, rack: LoneMachine, guest: Guest, folder: string): Promise<void> {
  const other = await Client.plugIn({ resources, box: rack.namespace, folder }, "dnsmasq0", "52:54:00:16:00:66");
  await other.run(["ip", "address", "add", `${DNSMASQ}/24`, "dev", "eth0"]);
  const quiet = ["--keep-in-foreground", "--conf-file=/dev/null", "--port=0", "--user=root", "--pid-file=", "--log-facility=-"];
  const server = other.start(["dnsmasq", ...quiet, "--enable-tftp", `--tftp-root=${dirname(guest.kernel)}`]);
  await server.output.waitFor(/TFTP root is/, 15_000);
}

/** Seconds of each turn, by way. */
async function measure(resources: Resources, rounds: number): Promise<{ readonly sizeBytes: number; readonly seconds: number[][] }> {
  const guest = await ensureGuest((line) => console.error(line));
  const directory = emptyDirectory("grub-figures");
  const loader = await networkGrub(directory, "grubx64", script(rounds));
  const boot = { kernel: guest.kernel, initrd: guest.initrd, loader, arguments: GUEST_ARGUMENTS };
  const rack = await LoneMachine.start(resources, { directory, machine: { boot } });
  await startDnsmasq(resources, rack, guest, directory);
  await rack.uqbar.powerOn();
  const seconds: number[][] = WAYS.map(() => []);
  for (let turn = 0; turn < rounds * WAYS.length; turn++) {
    await rack.uqbar.waitFor(/begins <\d>/);
    const startMs = performance.now();
    const [, index] = await rack.uqbar.waitFor(/error:|has <(\d)>/);
    if (index === undefined) throw new Error(`GRUB did not get its files: ${rack.uqbar.console.tail()}`);
    seconds[Number(index)]?.push((performance.now() - startMs) / 1000);
    console.error(`turn ${turn + 1} of ${rounds * WAYS.length}`);
  }
  return { sizeBytes: statSync(guest.kernel).size + statSync(guest.initrd).size, seconds };
}

/** Writes and prints it; whether all of it is as it should be. */
function report({ sizeBytes, seconds }: Awaited<ReturnType<typeof measure>>): boolean {
  const host = describeHost();
  const [tftp = Number.NaN, http = Number.NaN, dnsmasq = Number.NaN] = seconds.map(median);
  const rate = (each: number): string => (sizeBytes / each / 1e6).toFixed(1);
  const rows = WAYS.map(({ name }, index) => [name, median(seconds[index] ?? []).toFixed(2), rate(median(seconds[index] ?? []))]);
  const goals = [
    [`HTTP takes ${(tftp / http).toFixed(1)} times less than TFTP: it is what grub.cfg takes first where GRUB has it`, http < tftp],
    [`our TFTP takes ${(tftp / dnsmasq).toFixed(2)} x dnsmasq's time, at most ${NOISE} x`, tftp <= NOISE * dnsmasq],
  ] as const;
  const text = `${hostLine(host)}
GRUB in an emulated UEFI machine: kernel and initramfs, ${(sizeBytes / 1e6).toFixed(1)} MB, median of ${seconds[0]?.length ?? 0}.

${renderTable(["", "s", "MB/s"], rows)}

${goals.map(([goal, reached]) => `${reached ? "reached    " : "NOT REACHED"}  ${goal}`).join("\n")}
`;
  const folder = join(import.meta.dirname, "results", hostName(host));
  mkdirSync(folder, { recursive: true });
  const figures = Object.fromEntries(WAYS.map(({ name }, index) => [name, seconds[index]]));
  writeFileSync(join(folder, "grub.json"), `${JSON.stringify({ host, sizeBytes, seconds: figures }, null, 2)}\n`);
  writeFileSync(join(folder, "grub.txt"), text);
  console.log(text);
  return goals.every(([, reached]) => reached);
}

const HELP = `Usage: node test/bench/grub.ts [--help] [--rounds N]
  --rounds   how often each way is measured (${ROUNDS})`;

async function main(): Promise<void> {
  const { values } = parseArgs({ options: { help: { type: "boolean" }, rounds: { type: "string", default: String(ROUNDS) } } });
  if (values.help === true) return console.log(HELP);
  const rounds = Number(values.rounds);
  if (!Number.isInteger(rounds) || rounds < 1) throw Object.assign(new Error("--rounds is a number from 1"), { code: "ERR_PARSE_ARGS" });
  const resources = new Resources();
  try {
    if (!report(await measure(resources, rounds))) process.exitCode = 1;
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
