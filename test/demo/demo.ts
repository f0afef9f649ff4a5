/** `make demo`: see HELP below. */
import { writeFileSync } from "node:fs";
import { join, relative } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { parseArgs } from "node:util";
import { Listr, type ListrTask } from "listr2";
import { currentBoot, machineStatus } from "../../src/state/state.ts";
import { RACKBOOT } from "../harness/daemon.ts";
import { ensureGuest, type Guest } from "../harness/guest.ts";
import { BOOT_TIMEOUT_MS, type QemuMachine } from "../harness/qemu.ts";
import { type RackMachine, TestRack } from "../harness/rack.ts";
import { Resources } from "../harness/resources.ts";
import { BootWatch, drawProgress, STAGES } from "./stages.ts";
import { joinConsole } from "./terminal.ts";

const HELP = `Boots a machine without a disk from rackboot, and shows how.

Usage: make demo [KEEP=1]        or: node test/demo/demo.ts [--keep] [--help]

  --keep    keep it all up afterwards: this terminal becomes the machine's console; Control-] ends it
  --help    show this

A network namespace with a switch is made, the daemon serves in it, and QEMU emulates a UEFI machine in software. Debian
with dracut and open-iscsi stands in for RHEL, whose dracut it shares. What it leaves behind is in build/demo.
`;

const UQBAR: RackMachine = { name: "uqbar", number: 16, firmware: "uefi", network: "dhclient" };
const root = join(import.meta.dirname, "..", "..");
const directory = join(root, "build", "demo");
const onTerminal = process.stdout.isTTY === true;
const CONSOLE_REFRESH_MS = 250;
const SETTLE_MS = 15_000;
const POLL_MS = 250;

interface Context {
  guest?: Guest;
  rack?: TestRack;
}

class Interrupted extends Error {}

async function main(): Promise<number> {
  const { values } = parseArgs({ options: { keep: { type: "boolean", default: false }, help: { type: "boolean", default: false } } });
  if (values.help) {
    process.stdout.write(HELP);
    return 0;
  }
  const resources = new Resources();
  const watch = new BootWatch(UQBAR.name);
  const interrupted = new Promise<Interrupted>((resolve) => {
    for (const signal of ["SIGINT", "SIGTERM"] as const) process.on(signal, () => resolve(new Interrupted(signal)));
  });
  void interrupted.then((reason) => watch.fail(reason));
  const context: Context = {};
  try {
    await Promise.race([tasks(context, resources, watch).run(context), interrupted.then((reason) => Promise.reject(reason))]);
    if (context.rack === undefined) throw new Error("The rack was never set up.");
    await explain(context.rack, values.keep);
    if (values.keep) await keep(context.rack.machine(UQBAR.name), interrupted);
    return 0;
  } catch (error) {
    if (error instanceof Interrupted) return 130;
    process.stderr.write(`\n${error instanceof Error ? error.message : String(error)}\n${whatIsLeft(context.rack)}`);
    return 1;
  } finally {
    if (context.rack !== undefined) writeFileSync(join(directory, "rackboot.log"), context.rack.daemon.log);
    await resources.close();
  }
}

function tasks(context: Context, resources: Resources, watch: BootWatch): Listr<Context> {
  const settings: ListrTask<Context>[] = [
    {
      title: "guest: Debian with dracut and open-iscsi, in RHEL's place",
      task: async (_, task) => {
        context.guest = await ensureGuest((line) => {
          task.output = line;
        });
      },
    },
    {
      title: "rack: a switch, and rackboot at it as 172.16.0.1",
      task: async () => {
        if (context.guest === undefined) throw new Error("There is no guest.");
        context.rack = await TestRack.start(resources, { directory, guest: context.guest, machines: [UQBAR] });
      },
    },
    {
      title: "uqbar: power on (a UEFI machine without a disk, emulated in software: this takes a minute or two)",
      task: async () => {
        if (context.rack === undefined) throw new Error("There is no rack.");
        await powerOn(context.rack, resources, watch);
      },
    },
  ];
  return new Listr([...settings, ...STAGES.map((stage) => stageTask(stage, context, watch))], {
    registerSignalListeners: false,
    fallbackRenderer: "simple",
    rendererOptions: { collapseErrors: false, showErrorMessage: false, formatOutput: "truncate" },
  });
}

async function powerOn(rack: TestRack, resources: Resources, watch: BootWatch): Promise<void> {
  const machine = rack.machine(UQBAR.name);
  const following = new AbortController();
  resources.defer("the daemon's events", () => following.abort());
  void followEvents(rack, watch, following.signal);
  machine.console.onChange(() => watch.console(machine.console.text));
  await machine.powerOn();
  void machine.off().then((words) => watch.fail(new Error(`${words} before it was up.`)));
  const timer = setTimeout(() => watch.fail(new Error(`uqbar was not up within ${BOOT_TIMEOUT_MS / 60_000} minutes.`)), BOOT_TIMEOUT_MS);
  resources.defer("the clock", () => clearTimeout(timer));
}

async function followEvents(rack: TestRack, watch: BootWatch, signal: AbortSignal): Promise<void> {
  try {
    for await (const event of rack.daemon.events(signal)) watch.event(event);
    if (!signal.aborted) watch.fail(new Error("The daemon ended."));
  } catch (error) {
    watch.fail(new Error("The daemon's events could not be followed.", { cause: error }));
  }
}

/** A line of the timeline: while it lasts with a bar or the console's last line, afterwards with how it went and when. */
function stageTask(stage: (typeof STAGES)[number], context: Context, watch: BootWatch): ListrTask<Context> {
  const { name, about } = stage;
  const title = (rest: string): string => `${name.padEnd(10)} ${rest}`;
  return {
    title: title(about),
    task: async (_, task) => {
      const startedAt = performance.now();
      let quarters = 0;
      watch.onProgress((current, progress) => {
        if (current !== name) return;
        // On paper a bar is drawn at every quarter only.
        const quarter = Math.floor((4 * progress.sentBytes) / Math.max(1, progress.sizeBytes));
        if (!onTerminal && quarter <= quarters) return;
        quarters = quarter;
        task.output = drawProgress(progress);
      });
      const console = context.rack?.machine(UQBAR.name).console;
      const showConsole = setInterval(() => {
        if (onTerminal && stage.role === undefined) task.output = console?.tail(1) ?? "";
      }, CONSOLE_REFRESH_MS);
      try {
        const sentence = await watch.reached(name);
        task.title = title(`${sentence}  (+${((performance.now() - startedAt) / 1000).toFixed(1)} s)`);
      } finally {
        clearInterval(showConsole);
      }
    },
  };
}

const here = (path: string): string => relative(process.cwd(), join(directory, path)) || ".";

async function explain(rack: TestRack, kept: boolean): Promise<void> {
  // The machine counts as up when its running system has taken the session over from its initramfs, about now.
  for (let waitedMs = 0; waitedMs < SETTLE_MS && !(await isUp(rack)); waitedMs += POLL_MS) await sleep(POLL_MS);
  const timeline = await rack.daemon.rackboot("machine", "show", UQBAR.name);
  const prompt = rack.machine(UQBAR.name).console.text.match(/^.* login:.*$/m)?.[0] ?? "";
  process.stdout.write(`
${prompt}

A machine that has no disk got its address, its boot loader, its kernel and its disk from one daemon, and is up. Its disk
is a file, ${here("uqbar.raw")}. Debian with dracut and open-iscsi stood in for RHEL, whose dracut it shares.

${timeline.stdout}
Look further:
${kept ? lookFurtherNow(rack) : lookFurtherLater()}
`);
}

async function isUp(rack: TestRack): Promise<boolean> {
  const { state } = await rack.daemon.status();
  return currentBoot(state, UQBAR.name)?.outcome === "up" && machineStatus(state, UQBAR.name) === "up";
}

/** Commands with what they show, in two columns. */
function columns(rows: readonly (readonly [command: string, about: string])[]): string {
  const width = Math.max(...rows.map(([command]) => command.length));
  return rows.map(([command, about]) => `  ${command.padEnd(width)}   ${about}`).join("\n");
}

function lookFurtherLater(): string {
  return columns([
    [`cat ${here("rackboot.yaml")}`, "all of the configuration"],
    [`less ${here("rackboot.log")}`, "what the daemon said"],
    [`less -R ${here("uqbar/console.log")}`, "what the machine said, from its firmware on"],
    ["make demo KEEP=1", "the same again, and then its console is yours"],
  ]);
}

function lookFurtherNow(rack: TestRack): string {
  const rackboot = relative(process.cwd(), RACKBOOT);
  const socket = `--socket ${here("control.sock")}`;
  const inside = rack.namespace.prefix.join(" ");
  return columns([
    [`${rackboot} status --watch ${socket}`, "how everything is"],
    [`${rackboot} events ${socket}`, "what happens"],
    [`${inside} curl -s http://172.16.0.1/metrics`, "numbers, for Prometheus"],
    [`less ${here("rackboot.yaml")}`, "all of the configuration; change it, and it is read again"],
  ]);
}

async function keep(machine: QemuMachine, interrupted: Promise<unknown>): Promise<void> {
  if (onTerminal && process.stdin.isTTY) {
    process.stdout.write("This terminal is now uqbar's console; root is logged in. Control-] switches everything off.\n\n");
    await joinConsole(machine);
    return;
  }
  process.stdout.write(`It stays up until this process ends: kill ${process.pid}\n`);
  await Promise.race([interrupted, machine.off()]);
}

function whatIsLeft(rack: TestRack | undefined): string {
  if (rack === undefined) return "";
  return `Its last words:\n${rack.machine(UQBAR.name).console.tail()}\n\nThe daemon's:\n${rack.daemon.log.split("\n").slice(-10).join("\n")}\n`;
}

process.exit(await main());
