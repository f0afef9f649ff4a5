import { basename, resolve } from "node:path";
import type { Command } from "commander";
import type { ImageReport } from "../machine/image.ts";
import { type AddCommand, type Context, client, EXIT, examples, SOCKET_OPTION, untilInterrupted } from "./context.ts";
import { amount, clock, json, table } from "./output.ts";
import { resultOf } from "./progress.ts";

interface Options {
  readonly socket?: string;
  readonly json?: boolean;
}

/** Installation media: what machines with `boot: { install: IMAGE }` or `{ rescue: IMAGE }` start from. */
export const addImage: AddCommand = (program, context) => {
  const { output } = context;
  const image = program.command("image").description("installation media, for machines without a system yet");
  addImport(image, context);

  image
    .command("list")
    .description("every image, and what is on it")
    .option("--json", "for programs")
    .option(...SOCKET_OPTION)
    .addHelpText("after", examples("rackboot image list"))
    .action(async (options: Options) => {
      const images = await client(options).call("image.list", {});
      if (options.json === true) return output.out(json(images));
      const rows = images.map((each) => [each.name, `${each.system} ${each.version}`, each.architecture, amount(each.sizeBytes)]);
      const header = ["IMAGE", "SYSTEM", "FOR", "SIZE"].map((cell) => output.paint("dim", cell));
      output.out(rows.length === 0 ? 'no images yet: add one with "rackboot image import FILE.iso"\n' : table([header, ...rows]));
    });

  image
    .command("show")
    .description("one image: what it installs, and by which of its files")
    .argument("<name>", 'from "rackboot image list"')
    .option("--json", "for programs")
    .option(...SOCKET_OPTION)
    .addHelpText("after", examples("rackboot image show rhel-8.10"))
    .action(async (name: string, options: Options) => {
      const report = await client(options).call("image.show", { name });
      output.out(options.json === true ? json(report) : imageText(report));
    });

  image
    .command("delete")
    .description("remove an image; machines that boot it say so on their screens")
    .argument("<name>", 'from "rackboot image list"')
    .option("--json", "for programs")
    .option(...SOCKET_OPTION)
    .addHelpText("after", examples("rackboot image delete rhel-8.9"))
    .action(async (name: string, options: Options) => {
      const report = await client(options).call("image.delete", { name });
      output.out(options.json === true ? json(report) : `image ${name} is deleted\n`);
    });
};

function addImport(image: Command, context: Context): void {
  image
    .command("import")
    .description("take in the medium of RHEL 8, 9, 10 or a rebuild, or Debian's netboot.tar.gz unpacked")
    .argument("<file>", "an .iso file, the folder that a medium is unpacked in, or - for an .iso on stdin")
    .option("--name <name>", "what machines call it (default: the file's name)")
    .option("--json", "for programs")
    .option(...SOCKET_OPTION)
    .addHelpText(
      "after",
      examples("rackboot image import rhel-8.10-x86_64-dvd.iso --name rhel-8.10", "rackboot image import ./netboot --name debian-13"),
    )
    .action(async (file: string, options: Options & { readonly name?: string }) => {
      if (file === "-" && options.name === undefined) {
        context.exitCode = EXIT.usage;
        return context.output.err("stdin has no name: say --name NAME\n");
      }
      const name = options.name ?? basename(resolve(file)).replace(/\.iso$/i, "");
      const daemon = client(options);
      const work =
        file === "-"
          ? daemon.upload("image.receive", { name }, process.stdin, untilInterrupted())
          : daemon.follow("image.import", { name, path: resolve(file) }, untilInterrupted());
      const report = await resultOf(`importing ${name}`, work);
      context.output.out(options.json === true ? json(report) : `image ${name} is imported\n${imageText(report)}`);
    });
}

export function imageText(image: ImageReport): string {
  const { verified } = image;
  return table([
    ["system", `${image.system} ${image.version}${image.codename === undefined ? "" : ` (${image.codename})`}`],
    ["for", image.architecture === "x64" ? "x86_64" : "aarch64"],
    ["size", `${amount(image.sizeBytes)}, ${image.medium === "iso" ? "one ISO file" : "a folder"}`],
    ["imported", clock(image.importedMs)],
    ["kernel", image.kernel],
    ["initramfs", image.initrd],
    ["loader", image.shim ?? image.grub ?? "none: this system's own is used"],
    ["packages", image.packages ? "on it" : "not on it: a profile has to say where they are"],
    ["checksums", verified === 0 ? "none stated" : `${verified} as its .treeinfo states them`],
  ]);
}
