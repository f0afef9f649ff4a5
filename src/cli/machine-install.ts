import type { Command } from "commander";
import { type Context, client, EXIT, examples, SOCKET_OPTION } from "./context.ts";
import { json } from "./output.ts";

interface Options {
  readonly socket?: string;
  readonly json?: boolean;
  readonly profile?: string;
  readonly cancel?: boolean;
}

export function addInstall(machine: Command, context: Context): void {
  const { output } = context;
  machine
    .command("install")
    .description("install the machine at its next boot, whatever is on its first disk; afterwards it boots that disk")
    .argument("<name>", "as under machines in the configuration")
    .argument("[image]", 'from "rackboot image list"')
    .option("--profile <profile>", "what to install, from storage.path/profiles (default: as configured)")
    .option("--cancel", "boot the disk as it is, and install nothing")
    .option("--json", "for programs")
    .option(...SOCKET_OPTION)
    .addHelpText("after", examples("rackboot machine install uqbar rhel-8.10 --profile minimal", "rackboot machine install uqbar --cancel"))
    .action(async (name: string, image: string | undefined, options: Options) => {
      const { profile } = options;
      if ((image === undefined) !== (options.cancel === true)) {
        context.exitCode = EXIT.usage;
        return output.err('name either an image from "rackboot image list", or --cancel\n');
      }
      if (image === undefined) {
        const report = await client(options).call("install.cancel", { name });
        return output.out(options.json === true ? json(report) : `${name} installs nothing at its next boot\n`);
      }
      const order = await client(options).call("machine.install", { name, image, ...(profile === undefined ? {} : { profile }) });
      const text = `${name} installs ${order.image} at its next boot, over what is on its first disk\n`;
      output.out(options.json === true ? json(order) : text);
    });
}
