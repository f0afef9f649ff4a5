import { resolve } from "node:path";
import { Transform } from "node:stream";
import { pipeline } from "node:stream/promises";
import type { Command } from "commander";
import { type Context, client, examples, SOCKET_OPTION, untilInterrupted } from "./context.ts";
import { amount, json } from "./output.ts";
import { CopyBar, resultOf } from "./progress.ts";
import { type NewVolumeWords, newVolume, newVolumeOptions, parseSize } from "./volume-options.ts";
import { changedText } from "./volume-text.ts";

interface Options {
  readonly socket?: string;
  readonly json?: boolean;
}

/** Disks into the store and out of it. Files are read and written by the daemon; only streams go through this process. */
export function addTransfers(volume: Command, context: Context): void {
  newVolumeOptions(volume.command("import"))
    .description("make a volume of a disk image; zeroes take no room")
    .argument("<file>", "a raw image, a block device, what qemu-img reads (qcow2, vmdk, vhdx, ...), or - for a raw image on stdin")
    .argument("<name>", "of the new volume")
    .option("--size <size>", "grow it to this", parseSize)
    .option("--format <format>", "qemu-img's name of the format (default: what the file begins with)")
    .option("--json", "for programs")
    .option(...SOCKET_OPTION)
    .addHelpText(
      "after",
      examples(
        "rackboot volume import rhel-8.10-x86_64-kvm.qcow2 rhel-8-golden --size 40G",
        "zstdcat disk.raw.zst | rackboot volume import - old-disk",
      ),
    )
    .action(async (file: string, name: string, options: Options & NewVolumeWords & { readonly format?: string }) => {
      const daemon = client(options);
      const what = `importing ${name}`;
      const { format } = options;
      const input = { name, ...newVolume(options) };
      const work =
        file === "-"
          ? daemon.upload("volume.receive", input, process.stdin, untilInterrupted())
          : daemon.follow("volume.import", { ...input, path: resolve(file), ...(format !== undefined && { format }) }, untilInterrupted());
      const report = await resultOf(what, work);
      context.output.out(options.json === true ? json(report) : changedText(report, `is imported (${amount(report.usedBytes)} used)`));
    });

  volume
    .command("export")
    .description("write a volume, as it is at one instant, as a sparse raw file")
    .argument("<volume>", "VOLUME, or VOLUME@SNAPSHOT")
    .argument("<file>", "a new file, or - for stdout")
    .option("--json", "for programs")
    .option(...SOCKET_OPTION)
    .addHelpText(
      "after",
      examples("rackboot volume export uqbar-root /srv/uqbar.raw", "rackboot volume export uqbar-root - | zstd > uqbar.raw.zst"),
    )
    .action(async (reference: string, file: string, options: Options) => {
      const what = `exporting ${reference}`;
      if (file === "-") return await exportStdout(what, reference, options);
      const path = resolve(file);
      const report = await resultOf(what, client(options).follow("volume.export", { reference, path }, untilInterrupted()));
      context.output.out(options.json === true ? json({ ...report, path }) : `${path} is written, ${amount(report.sizeBytes)}\n`);
    });
}

async function exportStdout(what: string, reference: string, options: Options): Promise<void> {
  const { body, sizeBytes } = await client(options).download("volume.send", { reference }, untilInterrupted());
  const bar = new CopyBar(what);
  let doneBytes = 0;
  const count = new Transform({
    transform(chunk: Buffer, _encoding, done) {
      doneBytes += chunk.length;
      bar.update({ doneBytes, totalBytes: sizeBytes });
      done(null, chunk);
    },
  });
  try {
    await pipeline(body, count, process.stdout, { end: false });
  } finally {
    bar.stop();
  }
  if (doneBytes !== sizeBytes) {
    const message = `${reference} was broken off after ${amount(doneBytes)} of ${amount(sizeBytes)}; look at the daemon's log, and try again`;
    throw Object.assign(new Error(message), { code: "ERR_BROKEN_OFF" });
  }
}
