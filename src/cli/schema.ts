import { jsonSchema } from "../machine/config-schema.ts";
import { type AddCommand, examples } from "./context.ts";

export const addSchema: AddCommand = (program, context) => {
  program
    .command("schema")
    .description("print the JSON Schema of rackboot.yaml, for editors")
    .addHelpText("after", examples("rackboot schema > docs/rackboot.schema.json"))
    .action(() => context.output.out(`${JSON.stringify(jsonSchema(), null, 2)}\n`));
};
