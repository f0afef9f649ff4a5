import { createWriteStream } from "node:fs";
import { pipeline } from "node:stream/promises";
import { type AddCommand, client, examples, SOCKET_OPTION } from "./context.ts";

export const addReport: AddCommand = (program, context) => {
  program
    .command("report")
    .description("pack what a helper needs to see: configuration without secrets, state, log, kernel messages")
    .argument("[file]", 'a new file, or "-" for the standard output', "rackboot-report.tar.gz")
    .option(...SOCKET_OPTION)
    .addHelpText(
      "after",
      examples("rackboot report", "rackboot report /data/report.tar.gz", "rackboot report - | ssh me@laptop 'cat > r.tgz'"),
    )
    .action(async (file: string, options: { readonly socket?: string }) => {
      const { body } = await client(options).download("system.report", {});
      if (file === "-") return await pipeline(body, process.stdout, { end: false });
      await pipeline(body, createWriteStream(file, { flags: "wx", mode: 0o600 }));
      context.output.out(`${file} is there; it has no secrets in it, and the names and addresses of this rack\n`);
    });
};
