import { bootWords } from "../../../src/machine/boot-words.ts";
import type { ImageReport } from "../../../src/machine/image.ts";
import type { Machine } from "../../../src/machine/machine.ts";
import type { Form, Item, Job, Screen, View } from "../screen.ts";
import { facts } from "../text.ts";
import { edited } from "./machine-edit.ts";

/** Disk, installation or rescue: what a machine is handed at its next boot. */
export function bootScreen(machine: Machine): Screen {
  return {
    title: `What ${machine.name} boots`,
    load: async (daemon, signal) => bootView(machine, await daemon.call("image.list", {}, signal)),
  };
}

export function bootView(machine: Machine, images: readonly ImageReport[]): View {
  const { name, boot } = machine;
  const calledOff: Job = {
    title: `call off the installation of ${name}`,
    run: async (daemon, { signal }) => {
      await daemon.call("install.cancel", { name }, signal);
      return { message: `${name} installs nothing at its next boot.`, back: 1 };
    },
  };
  const none = images.length === 0 ? ["", "To install it or to rescue it, an image is needed: see Images in the menu."] : [];
  return {
    lines: [...facts([["configured", bootWords(boot)]]), ...none],
    items: [
      { label: "What its disk says", needs: ["machine.set"], action: { kind: "run", job: bootJob(name, "disk", "what its disk says") } },
      { label: "By itself, nothing from here", needs: ["machine.set"], action: { kind: "run", job: bootJob(name, "local", "by itself") } },
      ...images.map((image): Item => {
        const form = installForm(machine, image);
        return { label: `Install ${image.name} at its next boot`, needs: ["machine.install"], action: { kind: "form", form } };
      }),
      { label: "Call an installation off", needs: ["install.cancel"], action: { kind: "run", job: calledOff } },
      ...images
        .filter(({ installer }) => installer === "anaconda")
        .map(({ name: rescue }): Item => {
          const job = bootJob(name, { rescue }, `the rescue system of ${rescue}, until something else is chosen`);
          return { label: `Rescue it with ${rescue}`, needs: ["machine.set"], action: { kind: "run", job } };
        }),
    ],
  };
}

/** `boot` as rackboot.yaml has it. */
function bootJob(name: string, boot: unknown, words: string): Job {
  return {
    title: `choose what ${name} boots`,
    run: async (daemon, { signal }) => {
      const answer = await daemon.call("machine.set", { name, keys: { boot } }, signal);
      return { ...edited(answer, `${name} boots ${words}.`), back: 1 };
    },
  };
}

function installForm({ name, disks }: Machine, image: ImageReport): Form {
  return {
    title: `Install ${image.name}`,
    lines: [
      `${name} installs ${image.system} ${image.version} at its next boot, and boots its disk from then on.`,
      `EVERYTHING on its first disk, ${disks[0] ?? "which it does not have"}, is lost by it.`,
    ],
    fields: [
      { name: "profile", label: "Profile", value: "", hint: "What to install, from storage.path/profiles; empty: as configured" },
      {
        name: "word",
        label: `Type ${name} to go on`,
        value: "",
        check: (answer) => (answer === name ? undefined : `Only "${name}", written out, goes on.`),
      },
    ],
    submit: ({ profile = "" }) => ({
      kind: "run",
      job: {
        title: `have ${name} install ${image.name}`,
        run: async (daemon, { signal }) => {
          await daemon.call("machine.install", { name, image: image.name, ...(profile !== "" && { profile }) }, signal);
          return { message: `${name} installs ${image.name} at its next boot.`, back: 2 };
        },
      },
    }),
  };
}
