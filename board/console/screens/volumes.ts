import type { VolumeList } from "../../../src/control/volume-operations.ts";
import { formatSize } from "../../../src/machine/config-values.ts";
import type { SnapshotReport, VolumeReport } from "../../../src/machine/volume.ts";
import { amount, clock } from "../../../src/state/words.ts";
import { needed, orEmpty, sizeCheck, sizeOf } from "../fields.ts";
import { type Answers, type Form, type Item, type Job, type Screen, typedConfirmation, type View } from "../screen.ts";
import { columns, facts } from "../text.ts";
import { resultOf } from "../work.ts";

export const volumesScreen: Screen = {
  title: "Volumes and snapshots",
  load: async (daemon, signal) => volumesView(await daemon.call("volume.list", {}, signal)),
};

export function volumesView({ pool, volumes }: VolumeList): View {
  const copies = pool.reflink ? "" : " Clones and snapshots are full copies here: it has no reflink.";
  const rows = volumes.map((volume) => [
    volume.name,
    amount(volume.sizeBytes),
    `${amount(volume.usedBytes)} used`,
    volume.snapshots.length === 0 ? "" : `${volume.snapshots.length} snapshot${volume.snapshots.length === 1 ? "" : "s"}`,
    volume.machines.join(" ") || (volume.origin === undefined ? "" : `clone of ${volume.origin}`),
  ]);
  const labels = columns(rows, [24, 6, 11, 14]);
  const items = volumes.map(
    ({ name }, index): Item => ({ label: labels[index] ?? name, action: { kind: "open", screen: volumeScreen(name) } }),
  );
  return {
    lines: [`${pool.path} (${pool.fileSystem}): ${amount(pool.freeBytes)} free of ${amount(pool.sizeBytes)}.${copies}`],
    items: [{ label: "Create a volume", needs: ["volume.create"], action: { kind: "form", form: createForm } }, ...items],
  };
}

function volumeScreen(name: string): Screen {
  return {
    title: `Volume ${name}`,
    load: async (daemon, signal) => volumeView(await daemon.call("volume.show", { name }, signal)),
  };
}

export function volumeView(volume: VolumeReport): View {
  const { name, settings } = volume;
  const flags = [
    ...(settings.readOnly ? ["read-only"] : []),
    ...(settings.shared ? ["shared"] : []),
    ...(settings.thin ? [] : ["not thin"]),
    ...(settings.writeCache ? [] : ["no write cache"]),
  ];
  const shared = volume.sharedBytes === undefined ? "" : `, of which ${amount(volume.sharedBytes)} shared with others`;
  return {
    lines: facts([
      ["size", amount(volume.sizeBytes)],
      ["used", `${amount(volume.usedBytes)}${shared}`],
      ["made", clock(volume.createdMs)],
      ["clone of", volume.origin ?? "nothing"],
      ["disk of", volume.machines.join(" ") || "no machine"],
      ["served", volume.open ? "yes" : "no"],
      ["settings", `${flags.join(", ") || "usual"} (${volume.configured ? "from the configuration" : "kept with the volume"})`],
    ]),
    items: [
      { label: "Take a snapshot", needs: ["volume.snapshot"], action: { kind: "form", form: snapshotForm(name) } },
      { label: "Clone it", needs: ["volume.clone"], action: { kind: "form", form: cloneForm(name) } },
      { label: "Grow it", needs: ["volume.resize"], action: { kind: "form", form: growForm(volume) } },
      { label: "Delete it", needs: ["volume.delete"], action: { kind: "form", form: deleteForm(name, deleteWarning(volume)) } },
      ...volume.snapshots.map((snapshot) => snapshotItem(volume, snapshot)),
    ],
  };
}

function snapshotItem(volume: VolumeReport, snapshot: SnapshotReport): Item {
  const reference = `${volume.name}@${snapshot.name}`;
  const clones = snapshot.clones.length === 0 ? "" : `, clones: ${snapshot.clones.join(" ")}`;
  const screen: Screen = {
    title: `Snapshot ${reference}`,
    load: async () => ({
      lines: facts([
        ["taken", `${clock(snapshot.createdMs)}${snapshot.automatic ? ", for a clone" : ""}`],
        ["alone", snapshot.aloneBytes === undefined ? "unknown" : `${amount(snapshot.aloneBytes)} come back when it is deleted`],
        ["clones", snapshot.clones.join(" ") || "none"],
      ]),
      items: [
        {
          label: "Roll the volume back to it",
          needs: ["volume.rollback"],
          action: { kind: "form", form: rollbackForm(volume, reference) },
        },
        { label: "Clone it", needs: ["volume.clone"], action: { kind: "form", form: cloneForm(reference) } },
        {
          label: "Delete it",
          needs: ["volume.delete"],
          action: { kind: "form", form: deleteForm(reference, [`The snapshot ${reference} is lost for good.`]) },
        },
      ],
    }),
  };
  return { label: `Snapshot ${snapshot.name}, ${clock(snapshot.createdMs)}${clones}`, action: { kind: "open", screen } };
}

const NAME_HINT = "Letters, digits, dots and dashes, such as web-root";

const createForm: Form = {
  title: "Create a volume",
  lines: ["A sparse disk: it takes the room that is written, not its size."],
  fields: [
    { name: "name", label: "Name", value: "", hint: NAME_HINT, check: needed },
    { name: "size", label: "Size", value: "40G", hint: "A whole number and K, M, G or T", check: sizeCheck },
  ],
  submit: ({ name = "", size = "" }) => ({
    kind: "run",
    job: {
      title: `create ${name}`,
      run: async (daemon, { signal }) => {
        const made = await daemon.call("volume.create", { name, sizeBytes: sizeOf(size) ?? 0 }, signal);
        return { message: `${made.name} is created, ${amount(made.sizeBytes)}.` };
      },
    },
  }),
};

function snapshotForm(name: string): Form {
  return {
    title: `Snapshot of ${name}`,
    lines: ["What the disk holds at this moment is kept, while it is in use."],
    fields: [{ name: "snapshot", label: "Name", value: "", hint: "Empty: named by the time" }],
    submit: ({ snapshot = "" }) => ({
      kind: "run",
      job: {
        title: `snapshot ${name}`,
        run: async (daemon, tools) => {
          const input = { name, ...(snapshot !== "" && { snapshot }) };
          const taken = await resultOf(daemon.follow("volume.snapshot", input, tools.signal), tools);
          return { message: `${name}@${taken.snapshot} is taken; the disk waited ${Math.round(taken.pauseMs)} ms.` };
        },
      },
    }),
  };
}

function cloneForm(origin: string): Form {
  return {
    title: `Clone ${origin}`,
    lines: ["A new volume with the same content. It shares what neither of the two has written since."],
    fields: [
      { name: "name", label: "Name", value: "", hint: NAME_HINT, check: needed },
      { name: "size", label: "Size", value: "", hint: "Empty: as the origin; else not smaller", check: orEmpty(sizeCheck) },
    ],
    submit: (answers: Answers) => ({ kind: "run", job: cloneJob(origin, answers) }),
  };
}

function cloneJob(origin: string, { name = "", size = "" }: Answers): Job {
  return {
    title: `clone ${origin}`,
    run: async (daemon, tools) => {
      const sizeBytes = sizeOf(size);
      const input = { origin, name, ...(sizeBytes !== undefined && { sizeBytes }) };
      const made = await resultOf(daemon.follow("volume.clone", input, tools.signal), tools);
      return { message: `${made.name} is cloned of ${origin}, ${amount(made.sizeBytes)}.` };
    },
  };
}

function growForm({ name, sizeBytes }: VolumeReport): Form {
  return {
    title: `Grow ${name}`,
    lines: [`It has ${amount(sizeBytes)} now. A disk can grow while it is in use, and never shrinks.`],
    fields: [{ name: "size", label: "New size", value: formatSize(sizeBytes), check: sizeCheck }],
    submit: ({ size = "" }) => ({
      kind: "run",
      job: {
        title: `grow ${name}`,
        run: async (daemon, { signal }) => {
          const grown = await daemon.call("volume.resize", { name, sizeBytes: sizeOf(size) ?? 0 }, signal);
          return { message: `${name} has ${amount(grown.sizeBytes)} now.` };
        },
      },
    }),
  };
}

function rollbackForm({ name, open, machines }: VolumeReport, reference: string): Form {
  const users = open && machines.length > 0 ? [`It is the disk of ${machines.join(", ")}: shut that down first.`] : [];
  const lines = [`${name} becomes what it was at ${reference}. What was written since is lost for good.`, ...users];
  return typedConfirmation(`Roll back ${name}`, lines, name, {
    title: `roll back ${name}`,
    run: async (daemon, tools) => {
      await resultOf(daemon.follow("volume.rollback", { reference }, tools.signal), tools);
      return { message: `${name} is as it was at ${reference}.` };
    },
  });
}

function deleteWarning({ name, snapshots, machines }: VolumeReport): readonly string[] {
  return [
    `The volume ${name} and all that is on it are lost for good.`,
    ...(snapshots.length === 0 ? [] : [`Its snapshots go with it: ${snapshots.length}.`]),
    ...(machines.length === 0 ? [] : [`It is the disk of ${machines.join(", ")}.`]),
  ];
}

function deleteForm(reference: string, lines: readonly string[]): Form {
  return typedConfirmation(`Delete ${reference}`, lines, reference, {
    title: `delete ${reference}`,
    run: async (daemon, { signal }) => {
      await daemon.call("volume.delete", { reference }, signal);
      // The page of what is no longer there is left as well.
      return { message: `${reference} is deleted.`, back: 2 };
    },
  });
}
