import type { Command } from "commander";
import type { MachineReport } from "../control/operations.ts";
import { bootWords } from "../machine/boot-words.ts";
import { machineStatus } from "../state/state.ts";
import { type AddCommand, type Context, client, examples, SOCKET_OPTION } from "./context.ts";
import { addCheckMove } from "./machine-check.ts";
import { addEdits } from "./machine-edit.ts";
import { addEntries } from "./machine-entries.ts";
import { addInstall } from "./machine-install.ts";
import { addPending } from "./machine-pending.ts";
import { age, json, type Output, table } from "./output.ts";
import { machineRows, paintStatus } from "./status.ts";
import { drawBoot, transferCell, transfersOf } from "./timeline.ts";

interface Options {
  readonly json?: boolean;
  readonly socket?: string;
  readonly all?: boolean;
}

export const addMachine: AddCommand = (program, context) => {
  const { output } = context;
  const machine = program.command("machine").description("the machines of the rack");
  addEdits(machine, context);
  addPending(machine, context);
  addReset(machine, context);
  addEntries(machine, context);
  addCheckMove(machine, context);
  addInstall(machine, context);

  machine
    .command("list")
    .description("every machine, and how it is")
    .option("--json", "as they are configured, for programs")
    .option(...SOCKET_OPTION)
    .addHelpText("after", examples("rackboot machine list"))
    .action(async (options: Options) => {
      const daemon = client(options);
      if (options.json === true) return output.out(json(await daemon.call("machine.list", {})));
      const rows = machineRows(await daemon.call("status", {}), output);
      output.out(rows.length === 0 ? 'no machines yet: "rackboot machine add" adds one\n' : table(rows));
    });

  machine
    .command("show")
    .description("one machine: what it is given, and the timeline of its boots")
    .argument("<name>", "as under machines in the configuration")
    .option("--all", "every boot that is remembered, not only the last")
    .option("--json", "for programs")
    .option(...SOCKET_OPTION)
    .addHelpText("after", examples("rackboot machine show uqbar", "rackboot machine show --all uqbar"))
    .action(async (name: string, options: Options) => {
      const report = await client(options).call("machine.show", { name });
      output.out(options.json === true ? json(machineJson(report)) : machineText(report, options.all === true, output));
    });
};

function addReset(machine: Command, { output }: Context): void {
  machine
    .command("reset")
    .description("throw away the clones that a machine runs from, and make fresh ones of their origins")
    .argument("<name>", "as under machines in the configuration")
    .option("--force", "cut the machine off where it is connected")
    .option("--json", "for programs")
    .option(...SOCKET_OPTION)
    .addHelpText("after", examples("rackboot machine reset uqbar", "rackboot machine reset --force uqbar"))
    .action(async (name: string, options: Options & { readonly force?: boolean }) => {
      const report = await client(options).call("machine.reset", { name, ...(options.force === true && { force: true }) });
      output.out(
        options.json === true
          ? json(report)
          : `${name} begins anew: ${report.volumes.join(", ")}
`,
      );
    });
}

/** The part of the state that is about this machine. */
function machineJson({ machine, state }: MachineReport): unknown {
  const mine = <T extends { readonly machine?: string }>(all: Readonly<Record<string, T>>): readonly T[] => {
    return Object.values(all).filter((one) => one.machine === machine.name);
  };
  const status = machineStatus(state, machine.name);
  return { machine, status, ...state.machines[machine.name], transfers: mine(state.transfers), sessions: mine(state.sessions) };
}

export function machineText({ machine, state, nowMs }: MachineReport, all: boolean, output: Pick<Output, "paint">): string {
  const known = state.machines[machine.name];
  const sessions = Object.values(state.sessions).filter((session) => session.machine === machine.name);
  const rows = [
    ["status", paintStatus(machineStatus(state, machine.name), output)],
    ["seen", known?.lastSeenAtMs === undefined ? "never" : `${age(nowMs - known.lastSeenAtMs)} ago`],
    ["mac", machine.macs.join(" ")],
    ["address", machine.address ?? (known?.address === undefined ? "dynamic" : `${known.address} (dynamic)`)],
    ["boot", bootWords(machine.boot)],
    ["target", machine.target],
    ["initiator", machine.anyInitiator ? "any" : machine.initiators.join(" ")],
    ...(machine.initiatorNetworks ?? []).map(({ address, prefixLength }) => ["from", `${address}/${prefixLength}`]),
    ...machine.disks.map((disk, lun) => [`LUN ${lun}`, disk]),
    ...sessions.map((session) => ["session", `${session.initiator} from ${session.peer}, since ${age(nowMs - session.sinceMs)}`]),
    ...transfersOf(state, machine.name).map((transfer) => ["reading", transferCell(transfer)]),
  ];
  const boots = known?.boots ?? [];
  const shown = all ? boots : boots.slice(-1);
  const timeline = shown.length === 0 ? "never booted from here\n" : shown.map((boot) => drawBoot(boot, output)).join("\n");
  return `${output.paint("bold", machine.name)}\n${table(rows)}\n${timeline}`;
}
