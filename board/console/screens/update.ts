import type { UpdateStatus } from "../../../src/control/update-operations.ts";
import { needed } from "../fields.ts";
import { type Daemon, type Form, type Item, type Job, type Screen, typedConfirmation, type View } from "../screen.ts";
import { columns } from "../text.ts";
import { stickItem } from "./sticks.ts";

const LIVE_MS = 2000;

export const updateScreen: Screen = {
  title: "Update and roll back",
  everyMs: LIVE_MS,
  load: async (daemon, signal) => updateView(await daemon.call("update.status", {}, signal)),
};

const STATES: Readonly<Record<UpdateStatus["slots"][number]["state"], string>> = {
  empty: "empty",
  writing: "being written, or cut off while it was",
  installed: "installed, not started yet",
  trying: "on trial",
  good: "good",
  failed: "FAILED: it did not come up",
};

export function updateView({ slots, confirmed, installing }: UpdateStatus): View {
  const rows = slots.map(({ name, running, primary, state, version }) => {
    const marks = [...(running ? ["runs now"] : []), ...(primary ? ["next start"] : [])].join(", ");
    return [`  ${name.toUpperCase()}`, version ?? "unknown", STATES[state], marks];
  });
  const trial = confirmed
    ? []
    : ["", "The system that runs is on trial: it stays when it has been READY for a while, or when you keep it."];
  const item = (label: string, operation: "update.restart" | "update.rollback" | "update.confirm", done: string): Item => ({
    label,
    needs: [operation],
    action: { kind: "run", job: updateJob(label, (daemon, signal) => daemon.call(operation, {}, signal), done) },
  });
  return {
    lines: [
      "The card holds two systems; an update writes the one that does not run.",
      "",
      ...columns(rows),
      ...trial,
      ...(installing ? ["", "An update is being written."] : []),
    ],
    items: [
      stickItem("Install an update from a USB stick", ".raucb", ({ path, name }) => ({ kind: "form", form: stickForm(path, name) })),
      { label: "Install an update from the data disk", needs: ["update.install"], action: { kind: "form", form: installForm } },
      item("Start what is installed", "update.restart", "It starts; if it does not get READY, the system of now comes back."),
      item("Roll back to the other system", "update.rollback", "The system before starts."),
      item("Keep the system that runs", "update.confirm", "It is kept."),
    ],
  };
}

function updateJob(title: string, run: (daemon: Daemon, signal: AbortSignal) => Promise<unknown>, message: string): Job {
  return {
    title: title.toLowerCase(),
    run: async (daemon, { signal }) => {
      await run(daemon, signal);
      return { message };
    },
  };
}

const installForm: Form = {
  title: "Install an update",
  lines: ["A signed bundle. It is written to the system that does not run; nothing that runs is touched."],
  fields: [{ name: "path", label: "File", value: "/data/rackboot.raucb", check: needed }],
  submit: ({ path = "" }) => ({ kind: "run", job: installJob(path) }),
};

function stickForm(path: string, name: string): Form {
  const lines = [`${name} is checked, and written to the system that does not run. Nothing that runs is touched.`];
  return typedConfirmation("Install an update", lines, "update", installJob(path));
}

function installJob(path: string): Job {
  return {
    title: `install ${path}`,
    run: async (daemon, { signal, progress }) => {
      for await (const value of daemon.follow("update.install", { path }, signal)) {
        if ("result" in value) return { message: "It is installed. Start it when it suits the rack." };
        progress(`${value.progress.percent} %, ${value.progress.step}`);
      }
      throw new Error("It was broken off; look at the state of the two systems.");
    },
  };
}
