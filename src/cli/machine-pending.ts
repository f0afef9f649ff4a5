import type { Command } from "commander";
import type { PendingMachine, PendingReport } from "../control/pending-operations.ts";
import { type Context, client, examples, SOCKET_OPTION } from "./context.ts";
import { tellEdit } from "./machine-edit.ts";
import { age, json, table } from "./output.ts";

interface Options {
  readonly socket?: string;
  readonly json?: boolean;
}

interface AdoptOptions extends Options {
  readonly profile?: string;
  readonly address?: string;
}

/** Hardware that nobody knows yet, and how it becomes a machine. */
export function addPending(machine: Command, context: Context): void {
  const { output } = context;
  machine
    .command("pending")
    .description("hardware that asked for an address and waits to be adopted (dhcp.unknown: pending)")
    .option("--json", "for programs")
    .option(...SOCKET_OPTION)
    .addHelpText("after", examples("rackboot machine pending"))
    .action(async (options: Options) => {
      const report = await client(options).call("machine.pending", {});
      output.out(options.json === true ? json(report) : pendingText(report));
    });

  machine
    .command("adopt")
    .description("make a machine of hardware that asked for an address: written to the configuration, and served when it asks again")
    .argument("<mac>", 'from "rackboot machine pending"')
    .argument("<name>", "lower-case letters, digits and dashes")
    .option("--profile <profile>", "what it is given: disks, boot, ... as under profiles in the configuration")
    .option("--address <address>", "reserve this address; without it: one of dhcp.range")
    .option("--json", "for programs")
    .option(...SOCKET_OPTION)
    .addHelpText("after", examples("rackboot machine adopt 52:54:00:16:00:10 uqbar --profile compute"))
    .action(async (mac: string, name: string, options: AdoptOptions) => {
      const { profile, address } = options;
      const edited = await client(options).call("machine.adopt", {
        mac,
        name,
        ...(profile !== undefined && { profile }),
        ...(address !== undefined && { address }),
      });
      tellEdit(context, options, `${mac} is ${name} now, and boots when it is switched on next`, edited);
    });
}

export function pendingText({ unknown, machines, profiles, nowMs }: PendingReport): string {
  if (machines.length > 0) {
    const rows = machines.map((one) => [
      one.mac,
      kindOf(one),
      one.vendorClass ?? "-",
      one.uuid ?? "-",
      `${age(nowMs - one.lastSeenAtMs)} ago`,
    ]);
    const profile = profiles[0] === undefined ? "" : ` --profile ${profiles[0]}`;
    return `${table([["mac", "architecture", "vendor class", "uuid", "asked"], ...rows])}next: rackboot machine adopt ${machines[0]?.mac} NAME${profile}\n`;
  }
  if (unknown === "pending") return "nothing waits to be adopted; hardware shows here when its firmware asks for an address\n";
  return `nothing is held: dhcp.unknown is ${unknown}. Hold unknown hardware with: rackboot config set dhcp.unknown pending\n`;
}

function kindOf({ firmware, architecture }: PendingMachine): string {
  return firmware ?? (architecture === undefined ? "no firmware" : `architecture ${architecture}`);
}
