import type { Command } from "commander";
import type { ConfigEdited } from "../control/config-operations.ts";
import { type Context, client, examples, SOCKET_OPTION } from "./context.ts";
import { json } from "./output.ts";

interface Options {
  readonly socket?: string;
  readonly json?: boolean;
  readonly force?: boolean;
}

interface AddOptions extends Options {
  readonly mac: readonly string[];
  readonly address?: string;
  readonly disk?: readonly string[];
  readonly boot?: string;
  readonly arguments?: string;
  readonly initiator?: string;
}

/** What changes rackboot.yaml; the daemon does it, and what it runs changes with it. */
export function addEdits(machine: Command, context: Context): void {
  addAdd(machine, context);
  addRemove(machine, context);
  addMove(machine, context);
  addSwap(machine, context);
}

const NAME: readonly [string, string] = ["<name>", "as under machines in the configuration"];
const MAC: readonly [string, string, typeof another] = ["--mac <mac>", "of its network card; again for each where it has several", another];

function addAdd(machine: Command, context: Context): void {
  machine
    .command("add")
    .description("a machine more: written to the configuration, and served at once")
    .argument("<name>", "lower-case letters, digits and dashes")
    .requiredOption(...MAC)
    .option("--address <address>", "reserve this address; without it: one of dhcp.range")
    .option("--disk <volume>", 'LUN 0; again for LUN 1, ...: volumes, as from "rackboot volume create"', another)
    .option("--boot <how>", "disk or local; default: disk if it has one")
    .option("--arguments <words>", "appended to whatever kernel line it boots")
    .option("--initiator <iqn>", "who may log in, or any; default: derived from the name")
    .option("--json", "for programs")
    .option(...SOCKET_OPTION)
    .addHelpText(
      "after",
      examples(
        "rackboot machine add uqbar --mac 52:54:00:16:00:10 --address 172.16.0.16 --disk uqbar-root",
        "rackboot machine add tlon --mac 52:54:00:16:00:11 --mac 52:54:00:16:00:12",
      ),
    )
    .action(async (name: string, options: AddOptions) => {
      const { mac, address, disk, boot, arguments: words, initiator } = options;
      const keys = {
        mac: oneOrAll(mac),
        ...(address !== undefined && { address }),
        ...(disk !== undefined && { disks: disk }),
        ...(boot !== undefined && { boot }),
        ...(words !== undefined && { arguments: words }),
        ...(initiator !== undefined && { initiator }),
      };
      tellEdit(context, options, `${name} was added`, await client(options).call("machine.add", { name, keys }));
    });
}

function addRemove(machine: Command, context: Context): void {
  machine
    .command("remove")
    .description("a machine less: taken out of the configuration; its disks stay in the store")
    .argument(...NAME)
    .option("--force", "also where it is running: it loses its disks at once")
    .option("--json", "for programs")
    .option(...SOCKET_OPTION)
    .addHelpText("after", examples("rackboot machine remove uqbar"))
    .action(async (name: string, options: Options) => {
      const edited = await client(options).call("machine.remove", { name, ...forced(options) });
      tellEdit(context, options, `${name} was removed`, edited);
    });
}

const MEANING = `
The machine is its name, its address, its disks and how it boots; hardware is only
what carries it. The new hardware takes all of that over when it is powered on next:
its firmware asks, and whatever the old one has left open is cut off then. The old
hardware is a stranger from now on.

A machine that is running is refused: shut it down first. With --force it keeps its
disks until the other hardware's firmware asks; it must be off by then, since it has
the same address and would come back for its disks.
`;

function addMove(machine: Command, context: Context): void {
  machine
    .command("move")
    .description("to other hardware: it boots there what it booted here")
    .argument(...NAME)
    .requiredOption(...MAC)
    .option("--force", "also where it is running")
    .option("--json", "for programs")
    .option(...SOCKET_OPTION)
    .addHelpText(
      "after",
      `${MEANING}\nWhether its initramfs can drive the other network card: rackboot machine check\n${examples(
        "rackboot machine move uqbar --mac 52:54:00:16:00:20",
      )}`,
    )
    .action(async (name: string, options: Options & { readonly mac: readonly string[] }) => {
      const edited = await client(options).call("machine.move", { name, mac: options.mac, ...forced(options) });
      tellEdit(context, options, `${name} is ${options.mac.join(", ")} from its next power-on`, edited);
    });
}

function addSwap(machine: Command, context: Context): void {
  machine
    .command("swap")
    .description("exchange the hardware of two machines")
    .argument("<a>", "as under machines in the configuration")
    .argument("<b>", "as under machines in the configuration")
    .option("--force", "also where one is running")
    .option("--json", "for programs")
    .option(...SOCKET_OPTION)
    .addHelpText("after", `${MEANING}${examples("rackboot machine swap uqbar tlon")}`)
    .action(async (a: string, b: string, options: Options) => {
      const edited = await client(options).call("machine.swap", { names: [a, b], ...forced(options) });
      tellEdit(context, options, `${a} and ${b} change places at their next power-on`, edited);
    });
}

/** An option that may stand several times. */
export function another(value: string, before: readonly string[] = []): readonly string[] {
  return [...before, value];
}

function oneOrAll<T>(all: readonly T[]): T | readonly T[] {
  const [first] = all;
  return all.length === 1 && first !== undefined ? first : all;
}

function forced(options: Options): { readonly force?: true } {
  return options.force === true ? { force: true } : {};
}

/** What was done on stdout; what may surprise on stderr. */
export function tellEdit({ output }: Context, options: { readonly json?: boolean }, done: string, edited: ConfigEdited): void {
  if (options.json === true) {
    output.out(json(edited));
    return;
  }
  output.out(`${done} (${edited.file})\n`);
  for (const notice of edited.notices) output.err(`note: ${notice}\n`);
  if (edited.deferred.length > 0) output.err(`note: ${edited.deferred.join(", ")}: in force from the next start of the daemon\n`);
}
