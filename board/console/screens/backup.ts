import { accessSync, constants, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { delimiter, join } from "node:path";
import { type Follow, type Item, type Job, type Paste, type Screen, typedConfirmation } from "../screen.ts";
import { edited } from "./machine-edit.ts";

const NAME = "rackboot.yaml";

export const backupScreen: Screen = {
  title: "Back up and restore",
  load: async () => ({
    lines: ["The configuration, rackboot.yaml, is all there is to keep beside the disks.", "Secrets (CHAP, the password) are not in it."],
    items: [
      { label: "Show it, to be copied from the terminal", needs: ["config.text"], action: { kind: "follow", follow: showFollow } },
      zmodemItem("Send it over this line (zmodem)", "sz", sendJob),
      { label: "Paste one", needs: ["config.replace"], action: { kind: "paste", paste } },
      zmodemItem("Receive one over this line (zmodem)", "rz", receiveJob),
    ],
  }),
};

function zmodemItem(label: string, program: string, job: Job): Item {
  return inPath(program)
    ? { label, needs: ["config.text"], action: { kind: "run", job } }
    : { label: `${label}: not here, ${program} of lrzsz is missing`, action: { kind: "open", screen: backupScreen } };
}

function inPath(program: string): boolean {
  return (process.env["PATH"] ?? "").split(delimiter).some((folder) => {
    try {
      accessSync(join(folder, program), constants.X_OK);
      return true;
    } catch {
      return false;
    }
  });
}

/** Whole, and then still: the terminal's own scroll-back or its log has it. */
const showFollow: Follow = {
  title: NAME,
  lines: async function* (daemon, signal) {
    const { text } = await daemon.call("config.text", {}, signal);
    yield* text.trimEnd().split("\n");
  },
};

const paste: Paste = {
  title: "Restore the configuration",
  lines: ["Paste the whole of rackboot.yaml. It is checked before anything changes."],
  submit: (text) => restoreJob(() => text),
};

function restoreJob(read: () => string): Job {
  return {
    title: "restore the configuration",
    run: async (daemon, { signal }) =>
      edited(await daemon.call("config.replace", { text: read() }, signal), "The configuration is in force."),
  };
}

const sendJob: Job = {
  title: "send the configuration",
  run: async (daemon, { signal }) => {
    const { text } = await daemon.call("config.text", {}, signal);
    const folder = mkdtempSync(join(tmpdir(), "rackboot-console-"));
    const file = join(folder, NAME);
    writeFileSync(file, text, { mode: 0o600 });
    const next = (code: number): string => {
      rmSync(folder, { recursive: true, force: true });
      return code === 0 ? `${NAME} was sent.` : `${NAME} was not sent: start the terminal's zmodem receive within a minute.`;
    };
    const notice = "Start your terminal's zmodem receive now.";
    return { message: "", next: { kind: "handover", handover: { command: ["sz", "-b", "-q", file], notice, raw: true, next } } };
  },
};

const receiveJob: Job = {
  title: "receive a configuration",
  run: async () => {
    const folder = mkdtempSync(join(tmpdir(), "rackboot-console-"));
    const file = join(folder, NAME);
    const restore = restoreJob(() => {
      const text = readFileSync(file, "utf8");
      rmSync(folder, { recursive: true, force: true });
      return text;
    });
    const form = typedConfirmation(
      "Restore the configuration",
      ["The file is here. It is checked, and then takes the place of what runs."],
      "restore",
      restore,
    );
    const asked: Job = { title: "look at the file", run: async () => ({ message: "", next: { kind: "form", form } }) };
    const next = (code: number): Job | string =>
      code === 0 ? asked : "Nothing was received: start the terminal's zmodem send within a minute.";
    const notice = `Send ${NAME} with your terminal's zmodem now.`;
    // Whatever its sender calls it, it lands under one name in a folder of its own.
    const command = ["sh", "-c", 'cd "$1" && rz -b -q -y && { [ -e "$2" ] || mv -- * "$2"; }', "sh", folder, file] as const;
    return { message: "", next: { kind: "handover", handover: { command, notice, raw: true, next } } };
  },
};
