import { createInterface } from "node:readline";
import { type AddCommand, EXIT, examples } from "./context.ts";

const TRIES = 3;

export const addUnlock: AddCommand = (program, context) => {
  program
    .command("unlock")
    .description("ask for the appliance's password, also where the service does not answer; exit code 0 where it is right, or none is set")
    .option("--file <file>", "where its hash is kept", "/state/password")
    .addHelpText("after", examples("rackboot unlock && sh"))
    .action(async ({ file }: { readonly file: string }) => {
      const { Keeper } = await import("../../board/system/password.ts");
      const keeper = new Keeper(file);
      if (!keeper.isSet) return;
      for (let attempt = 0; attempt < TRIES; attempt++) {
        if (await keeper.check(await ask("Password: "))) return;
        context.output.err("That is not it.\n");
      }
      context.exitCode = EXIT.failed;
    });
};

/** One line, which the terminal does not show. */
async function ask(question: string): Promise<string> {
  const { stdin, stderr } = process;
  stderr.write(question);
  const lines = createInterface({ input: stdin, terminal: stdin.isTTY === true, historySize: 0 });
  try {
    return await new Promise((resolve) => {
      lines.once("line", resolve);
      lines.once("close", () => resolve(""));
    });
  } finally {
    lines.close();
    stderr.write("\n");
  }
}
