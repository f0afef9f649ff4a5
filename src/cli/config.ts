import { type Command, InvalidArgumentError } from "commander";
import { parse, stringify, YAMLParseError } from "yaml";
import { formatPath, type KeyPath, parsePath } from "../machine/config-problems.ts";
import { type AddCommand, type Context, client, examples, SOCKET_OPTION } from "./context.ts";
import { tellEdit } from "./machine-edit.ts";
import { json } from "./output.ts";

interface Options {
  readonly socket?: string;
  readonly json?: boolean;
}

export const addConfig: AddCommand = (program, context) => {
  const config = program.command("config").description("single keys of the running daemon's configuration file");
  addGet(config, context);
  addSet(config, context);
  addUnset(config, context);
};

const KEY: readonly [string, string, typeof keyPath] = ["<key>", 'such as dhcp.range or volumes."rhel-8.10".size', keyPath];

function addGet(config: Command, { output }: Context): void {
  config
    .command("get")
    .description("what the file says; what it does not say has its default")
    .argument("[key]", KEY[1], keyPath)
    .option("--json", "for programs")
    .option(...SOCKET_OPTION)
    .addHelpText("after", examples("rackboot config get", "rackboot config get dhcp.range"))
    .action(async (path: KeyPath | undefined, options: Options) => {
      const found = await client(options).call("config.get", path === undefined ? {} : { path });
      if (options.json === true) return output.out(json(found));
      output.out(found.value === null ? "" : stringify(found.value, { lineWidth: 0 }));
    });
}

function addSet(config: Command, context: Context): void {
  config
    .command("set")
    .description("change one key, in the file and in what runs; comments and all other lines stay")
    .argument(...KEY)
    .argument("<value>", "as in the file: 12h, [172.16.0.1], { size: 40G }", yamlValue)
    .option("--json", "for programs")
    .option(...SOCKET_OPTION)
    .addHelpText(
      "after",
      examples("rackboot config set dhcp.range 172.16.0.100-172.16.0.200", 'rackboot config set dhcp.dns "[172.16.0.1]"'),
    )
    .action(async (path: KeyPath, value: { readonly parsed: unknown }, options: Options) => {
      const edited = await client(options).call("config.set", { path, value: value.parsed });
      tellEdit(context, options, `${formatPath(path)} was set`, edited);
    });
}

function addUnset(config: Command, context: Context): void {
  config
    .command("unset")
    .description("take one key away: its default counts again")
    .argument(...KEY)
    .option("--json", "for programs")
    .option(...SOCKET_OPTION)
    .addHelpText("after", examples("rackboot config unset dhcp.router"))
    .action(async (path: KeyPath, options: Options) => {
      const edited = await client(options).call("config.set", { path, value: null });
      tellEdit(context, options, `${formatPath(path)} was taken away`, edited);
    });
}

function keyPath(text: string): KeyPath {
  const path = parsePath(text);
  if (path === undefined) throw new InvalidArgumentError("It is keys with dots between them, such as dhcp.range.");
  return path;
}

function yamlValue(text: string): { readonly parsed: unknown } {
  try {
    return { parsed: parse(text, { version: "1.2" }) };
  } catch (cause) {
    if (cause instanceof YAMLParseError) throw new InvalidArgumentError("It is a value as YAML has it; quote it if it is text.");
    throw cause;
  }
}
