import { readConfig } from "../machine/config-file.ts";
import { type AddCommand, EXIT, examples } from "./context.ts";
import { explainNotices, explainProblems, summary } from "./explain.ts";
import { json } from "./output.ts";

export const addCheck: AddCommand = (program, context) => {
  program
    .command("check")
    .description("say what a configuration file means, or what is wrong with it; nothing is changed")
    .argument("<file>", "rackboot.yaml")
    .option("--json", "for programs: problems with their places, or the configuration and its notices")
    .addHelpText("after", examples("rackboot check rackboot.yaml", "rackboot check --json rackboot.yaml | jq '.problems[0]'"))
    .action((file: string, options: { readonly json?: boolean }) => {
      const { out, err, paint, paintError } = context.output;
      const reading = readConfig(file);
      if (!reading.ok) context.exitCode = EXIT.failed;
      if (options.json === true) {
        // Secrets stay in their file.
        out(json(reading.ok ? { ...reading, secrets: [...reading.secrets.keys()] } : reading));
      } else if (reading.ok) {
        out(summary(reading, paint));
        err(explainNotices(reading, paintError));
      } else err(explainProblems(reading, paintError));
    });
};
