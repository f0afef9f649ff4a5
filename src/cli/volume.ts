import type { Command } from "commander";
import type { VolumeReport } from "../machine/volume.ts";
import { type AddCommand, type Context, client, examples, SOCKET_OPTION, untilInterrupted } from "./context.ts";
import { age, json } from "./output.ts";
import { resultOf } from "./progress.ts";
import { type NewVolumeWords, newVolume, newVolumeOptions, parseSize } from "./volume-options.ts";
import { changedText, poolLine, snapshotTable, volumeTable, volumeText } from "./volume-text.ts";
import { addTransfers } from "./volume-transfer.ts";

interface Options {
  readonly socket?: string;
  readonly json?: boolean;
  readonly force?: boolean;
}

export const addVolume: AddCommand = (program, context) => {
  const volume = program.command("volume").description("the disks: make, clone, snapshot, go back, move in and out");
  addReading(volume, context);
  addMaking(volume, context);
  addChanging(volume, context);
  addTransfers(volume, context);
};

function showResult({ output }: Context, options: Options, report: VolumeReport, done: string): void {
  output.out(options.json === true ? json(report) : changedText(report, done));
}

function addReading(volume: Command, { output }: Context): void {
  volume
    .command("list")
    .description("every volume: its size, what it takes, what of that is shared, what its snapshots hold alone")
    .option("--json", "for programs, with every snapshot")
    .option(...SOCKET_OPTION)
    .addHelpText("after", examples("rackboot volume list", "rackboot volume list --json | jq '.volumes[].name'"))
    .action(async (options: Options) => {
      const report = await client(options).call("volume.list", {});
      if (options.json === true) return output.out(json(report));
      const list =
        report.volumes.length === 0 ? '  no volumes yet: "rackboot volume create" makes one\n' : volumeTable(report.volumes, output);
      output.out(`${poolLine(report.pool, output)}\n${list}`);
    });

  volume
    .command("show")
    .description("one volume and its snapshots")
    .argument("<volume>", "a name, or MACHINE/LUN of a disk written inside a machine")
    .option("--json", "for programs")
    .option(...SOCKET_OPTION)
    .addHelpText("after", examples("rackboot volume show rhel-8-golden", "rackboot volume show uqbar/0"))
    .action(async (name: string, options: Options) => {
      const report = await client(options).call("volume.show", { name });
      output.out(options.json === true ? json(report) : volumeText(report, output));
    });

  volume
    .command("snapshots")
    .description("the snapshots of a volume, and what each of them holds alone")
    .argument("<volume>", "a name, or MACHINE/LUN of a disk written inside a machine")
    .option("--json", "for programs")
    .option(...SOCKET_OPTION)
    .addHelpText("after", examples("rackboot volume snapshots rhel-8-golden"))
    .action(async (name: string, options: Options) => {
      const { snapshots } = await client(options).call("volume.show", { name });
      output.out(options.json === true ? json(snapshots) : snapshotTable(snapshots, output));
    });
}

function addMaking(volume: Command, context: Context): void {
  newVolumeOptions(volume.command("create"))
    .description("make an empty volume; it takes the room that is written to it")
    .argument("<name>", "letters, digits, dot, dash and underscore")
    .argument("<size>", "512M, 40G, 1T: up to 64T", parseSize)
    .option("--json", "for programs")
    .option(...SOCKET_OPTION)
    .addHelpText("after", examples("rackboot volume create uqbar-root 1T", "rackboot volume create scratch 40G --block-size 4096"))
    .action(async (name: string, sizeBytes: number, options: Options & NewVolumeWords) => {
      const { settings } = newVolume(options);
      const report = await client(options).call("volume.create", { name, sizeBytes, ...(settings !== undefined && { settings }) });
      showResult(context, options, report, "is there");
    });

  newVolumeOptions(volume.command("clone"))
    .description("make a volume that begins as a copy of another, and shares its blocks until they are written")
    .argument("<origin>", "VOLUME, or VOLUME@SNAPSHOT; of a volume a snapshot is taken first")
    .argument("<name>", "of the new volume")
    .option("--size <size>", "grow it to this", parseSize)
    .option("--json", "for programs")
    .option(...SOCKET_OPTION)
    .addHelpText(
      "after",
      examples("rackboot volume clone rhel-8-golden tlon-root", "rackboot volume clone rhel-8-golden@v2 orbis-root --size 80G"),
    )
    .action(async (origin: string, name: string, options: Options & NewVolumeWords) => {
      const work = client(options).follow("volume.clone", { origin, name, ...newVolume(options) }, untilInterrupted());
      showResult(context, options, await resultOf(`cloning ${origin}`, work), `is a clone of ${origin}`);
    });

  volume
    .command("snapshot")
    .description("keep what a volume holds at this instant, in use or not")
    .argument("<volume>", "a name, or MACHINE/LUN of a disk written inside a machine")
    .argument("[name]", "of the snapshot (default: the time)")
    .option("--force", "where blocks cannot be shared: let a machine wait for the whole copy")
    .option("--json", "for programs")
    .option(...SOCKET_OPTION)
    .addHelpText("after", examples("rackboot volume snapshot uqbar-root before-update", "rackboot volume snapshot uqbar/0"))
    .action(async (name: string, snapshot: string | undefined, options: Options) => {
      const input = { name, ...(snapshot !== undefined && { snapshot }), ...forced(options) };
      const taken = await resultOf(`copying ${name}`, client(options).follow("volume.snapshot", input, untilInterrupted()));
      const waited = `its disk waited ${taken.pauseMs < 2000 ? `${Math.ceil(taken.pauseMs)} ms` : age(taken.pauseMs)}`;
      context.output.out(options.json === true ? json(taken) : `${name}@${taken.snapshot} is taken; ${waited}\n`);
    });
}

function addChanging(volume: Command, context: Context): void {
  const { output } = context;
  volume
    .command("rollback")
    .description("make a volume what it was at a snapshot; what was written since is gone")
    .argument("<snapshot>", "VOLUME@SNAPSHOT")
    .option("--force", "cut off the machine that uses it")
    .option("--json", "for programs")
    .option(...SOCKET_OPTION)
    .addHelpText("after", examples("rackboot volume rollback uqbar-root@before-update"))
    .action(async (reference: string, options: Options) => {
      const work = client(options).follow("volume.rollback", { reference, ...forced(options) }, untilInterrupted());
      showResult(context, options, await resultOf(`copying ${reference}`, work), `is as it was at ${reference}`);
    });

  volume
    .command("resize")
    .description("grow a volume, in use or not; its machine is told")
    .argument("<volume>", "a name, or MACHINE/LUN of a disk written inside a machine")
    .argument("<size>", "more than it has", parseSize)
    .option("--json", "for programs")
    .option(...SOCKET_OPTION)
    .addHelpText("after", examples("rackboot volume resize uqbar-root 2T"))
    .action(async (name: string, sizeBytes: number, options: Options) => {
      showResult(context, options, await client(options).call("volume.resize", { name, sizeBytes }), "has grown");
    });

  volume
    .command("rename")
    .description("give a volume that is no machine's disk another name")
    .argument("<volume>")
    .argument("<name>", "the new one")
    .option("--json", "for programs")
    .option(...SOCKET_OPTION)
    .addHelpText("after", examples("rackboot volume rename rhel-8-golden rhel-8.10-golden"))
    .action(async (name: string, to: string, options: Options) => {
      showResult(context, options, await client(options).call("volume.rename", { name, to }), `is what ${name} was`);
    });

  volume
    .command("delete")
    .description("delete a snapshot, or a volume with its snapshots; there is no way back")
    .argument("<volume>", "VOLUME, or VOLUME@SNAPSHOT")
    .option("--force", "also where clones hang on it: they keep their blocks, and cannot be reset")
    .option("--json", "for programs")
    .option(...SOCKET_OPTION)
    .addHelpText("after", examples("rackboot volume delete scratch", "rackboot volume delete uqbar-root@before-update"))
    .action(async (reference: string, options: Options) => {
      const report = await client(options).call("volume.delete", { reference, ...forced(options) });
      output.out(options.json === true ? json(report) : `${reference} is deleted\n`);
    });
}

function forced({ force }: Options): { readonly force?: boolean } {
  return force === true ? { force } : {};
}
