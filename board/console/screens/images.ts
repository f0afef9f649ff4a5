import type { StickFile } from "../../../src/control/system-operations.ts";
import type { ImageReport } from "../../../src/machine/image.ts";
import { amount, clock } from "../../../src/state/words.ts";
import { needed } from "../fields.ts";
import { type Answers, type Form, type Item, type Job, type Screen, typedConfirmation, type View } from "../screen.ts";
import { columns, facts } from "../text.ts";
import { resultOf } from "../work.ts";
import { stickItem } from "./sticks.ts";

export const imagesScreen: Screen = {
  title: "Images",
  load: async (daemon, signal) => imagesView(await daemon.call("image.list", {}, signal)),
};

/** The media that machines install from, and how another one comes in. */
export function imagesView(images: readonly ImageReport[]): View {
  const rows = columns(
    images.map((image) => [image.name, systemOf(image), architectureOf(image), amount(image.sizeBytes)]),
    [24, 34, 8],
  );
  const none = "No installation medium yet. RHEL 8, 9, 10 and their rebuilds are taken in as they are (.iso).";
  return {
    lines: [images.length === 0 ? none : "Machines are told what to install or to be rescued by under Machines."],
    items: [
      stickItem("Import one from a USB stick", ".iso", (file) => ({ kind: "form", form: importForm(file) })),
      { label: "Import one from the data disk", needs: ["image.import"], action: { kind: "form", form: importForm() } },
      ...images.map((image, index): Item => ({ label: rows[index] ?? image.name, action: { kind: "open", screen: imageScreen(image) } })),
    ],
  };
}

/** As people call what is in the file. */
function nameOf(file: string): string {
  return (file.split("/").at(-1) ?? "").replace(/\.iso$/i, "").toLowerCase();
}

function systemOf({ system, version, codename }: ImageReport): string {
  return `${system} ${version}${codename === undefined ? "" : ` (${codename})`}`;
}

function architectureOf({ architecture }: ImageReport): string {
  return architecture === "x64" ? "x86_64" : "aarch64";
}

function imageScreen(image: ImageReport): Screen {
  return { title: `Image ${image.name}`, load: async () => imageView(image) };
}

export function imageView(image: ImageReport): View {
  const { name, verified } = image;
  const warning = [`${name} is lost: machines that install from it, or are rescued by it, find nothing.`];
  const remove: Job = {
    title: `delete ${name}`,
    run: async (daemon, { signal }) => {
      await daemon.call("image.delete", { name }, signal);
      // The page of what is no longer there is left as well.
      return { message: `${name} is deleted.`, back: 2 };
    },
  };
  return {
    lines: facts([
      ["system", systemOf(image)],
      ["for", architectureOf(image)],
      ["size", `${amount(image.sizeBytes)}, ${image.medium === "iso" ? "one ISO file" : "a folder"}`],
      ["imported", clock(image.importedMs)],
      ["packages", image.packages ? "on it" : "not on it: a profile has to say where they are"],
      ["checksums", verified === 0 ? "none stated" : `${verified}, as the medium states them`],
    ]),
    items: [
      {
        label: "Delete it",
        needs: ["image.delete"],
        action: { kind: "form", form: typedConfirmation(`Delete ${name}`, warning, name, remove) },
      },
    ],
  };
}

/** `file`: on a stick; without it, its path is asked for. */
function importForm(file?: StickFile): Form {
  const path = { name: "path", label: "File", value: "/data/", hint: "Of the appliance, such as /data/rhel-9.iso", check: needed };
  return {
    title: "Import an image",
    lines: [
      file === undefined
        ? "An .iso file, or the folder of a medium that is unpacked."
        : `${file.name} on ${file.stick}, ${amount(file.sizeBytes)}: it is copied to the data disk.`,
    ],
    fields: [
      ...(file === undefined ? [path] : []),
      {
        name: "name",
        label: "Name",
        value: file === undefined ? "" : nameOf(file.name),
        hint: "What machines call it, such as rhel-9.4",
        check: needed,
      },
    ],
    submit: (answers) => ({ kind: "run", job: importJob({ ...(file !== undefined && { path: file.path }), ...answers }) }),
  };
}

function importJob({ path = "", name = "" }: Answers): Job {
  return {
    title: `import ${name}`,
    run: async (daemon, tools) => {
      const image = await resultOf(daemon.follow("image.import", { path, name }, tools.signal), tools);
      return { message: `${image.name} is imported: ${systemOf(image)}, ${amount(image.sizeBytes)}.` };
    },
  };
}
