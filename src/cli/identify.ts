import { InvalidArgumentError } from "commander";
import { type AddCommand, client, examples, SOCKET_OPTION } from "./context.ts";

function seconds(text: string): number {
  const value = Number(text);
  if (!(value > 0 && value <= 3600)) throw new InvalidArgumentError("seconds are a number from 1 to 3600.");
  return value;
}

export const addIdentify: AddCommand = (program, context) => {
  program
    .command("identify")
    .description("blink all lamps of the appliance, for whoever looks for it in the rack")
    .argument("[seconds]", "for how long (default: 60)", seconds)
    .option("--off", "stop blinking")
    .option(...SOCKET_OPTION)
    .addHelpText("after", examples("rackboot identify", "rackboot identify 300", "rackboot identify --off"))
    .action(async (wanted: number | undefined, options: { readonly off?: boolean; readonly socket?: string }) => {
      const input = options.off === true ? { seconds: 0 } : wanted === undefined ? {} : { seconds: wanted };
      const answer = await client(options).call("identify", input);
      context.output.out(answer.seconds === 0 ? "no lamp blinks for this any more\n" : `all lamps blink for ${answer.seconds} s\n`);
    });
};
