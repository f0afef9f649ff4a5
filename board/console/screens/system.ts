import { MIN_PASSWORD_CHARACTERS } from "../../../src/machine/config.ts";
import { machineStatus } from "../../../src/state/state.ts";
import { clock } from "../../../src/state/words.ts";
import type { Action, Field, Form, Job, Screen } from "../screen.ts";
import { facts } from "../text.ts";

const LIVE_MS = 2000;

export const timeScreen: Screen = {
  title: "Time",
  everyMs: LIVE_MS,
  load: async (daemon, signal) => {
    const { nowMs, source, servers } = await daemon.call("system.time", {}, signal);
    const words = {
      unset: "nobody has told the time since power-on",
      person: "set by hand",
      ntp: "a time server",
      clock: "the board's own clock",
    };
    return {
      lines: facts([
        ["now", clock(nowMs)],
        ["from", words[source]],
        ["servers", servers.join(" ") || "none"],
      ]),
      items: [
        { label: "Set the time", needs: ["system.time.set"], action: { kind: "form", form: timeForm(nowMs) } },
        { label: "Time servers", needs: ["system.time.set"], action: { kind: "form", form: serversForm(servers) } },
      ],
    };
  },
};

function timeForm(nowMs: number): Form {
  const parsed = (text: string): number =>
    /^\d{4}-\d\d-\d\d \d\d:\d\d(:\d\d)?$/.test(text) ? Date.parse(text.replace(" ", "T")) : Number.NaN;
  const check = (text: string): string | undefined => (Number.isNaN(parsed(text)) ? "It is written as 2026-01-31 13:05:00." : undefined);
  return {
    title: "Set the time",
    lines: ["Nothing breaks when the time jumps; leases and sessions go on."],
    fields: [{ name: "time", label: "Time", value: clock(nowMs), check }],
    submit: ({ time = "" }) => ({
      kind: "run",
      job: {
        title: "set the time",
        run: async (daemon, { signal }) => {
          const set = await daemon.call("system.time.set", { nowMs: parsed(time) }, signal);
          return { message: `It is ${clock(set.nowMs)}.` };
        },
      },
    }),
  };
}

function serversForm(servers: readonly string[]): Form {
  return {
    title: "Time servers",
    lines: ["Their clock is followed where they can be reached, and the rack may ask this appliance then."],
    fields: [{ name: "servers", label: "Servers", value: servers.join(" "), hint: "Names or addresses, with spaces between; empty: none" }],
    submit: ({ servers: text = "" }) => ({
      kind: "run",
      job: {
        title: "set the time servers",
        run: async (daemon, { signal }) => {
          const set = await daemon.call("system.time.set", { servers: text.split(" ").filter((word) => word !== "") }, signal);
          return { message: set.servers.length === 0 ? "No time server is followed." : `Followed: ${set.servers.join(" ")}.` };
        },
      },
    }),
  };
}

/** Twice, since it cannot be seen. `isSet`: the one before it is asked for. */
export function passwordForm(title: string, isSet: boolean, after?: Action): Form {
  const current: Field = { name: "current", label: "Password of today", value: "", secret: true };
  return {
    title,
    lines: ["It opens the shell and the login of this appliance. There is none from the factory."],
    fields: [
      ...(isSet ? [current] : []),
      {
        name: "password",
        label: "New password",
        value: "",
        secret: true,
        hint: `At least ${MIN_PASSWORD_CHARACTERS} characters`,
        check: (text) => (text.length < MIN_PASSWORD_CHARACTERS ? `It needs at least ${MIN_PASSWORD_CHARACTERS} characters.` : undefined),
      },
      {
        name: "again",
        label: "Once more",
        value: "",
        secret: true,
        check: (again, { password }) => (again === password ? undefined : "The two are not the same."),
      },
    ],
    submit: ({ current: before, password = "" }) => ({
      kind: "run",
      job: {
        title: "set the password",
        run: async (daemon, { signal }) => {
          await daemon.call("system.password.set", { password, ...(before !== undefined && { current: before }) }, signal);
          return after === undefined ? { message: "The password is set." } : { message: "The password is set.", next: after };
        },
      },
    }),
  };
}

/** Whether there is one is the daemon's to say; the form comes by itself. */
export const passwordJob: Job = {
  title: "look whether there is a password",
  run: async (daemon, { signal }) => {
    const { isSet } = await daemon.call("system.password", {}, signal);
    return { message: "", next: { kind: "form", form: passwordForm("Password", isSet) } };
  },
};

const ENDS = {
  reboot: { title: "Reboot", operation: "system.reboot", done: "The board starts anew; the menu comes back by itself." },
  shutdown: {
    title: "Shut down",
    operation: "system.shutdown",
    done: "The board goes down. Wait for the lights to go out before you cut the power.",
  },
} as const;

/** Says who would lose its disk, before it is done. */
export function endScreen(kind: keyof typeof ENDS): Screen {
  const { title, operation, done } = ENDS[kind];
  return {
    title,
    load: async (daemon, signal) => {
      const { state } = await daemon.call("status", {}, signal);
      const up = Object.keys(state.machines).filter((name) => machineStatus(state, name) === "up");
      const losing =
        up.length === 0
          ? "No machine runs from here now."
          : `These machines run from here, and stand still until it is back: ${up.join(" ")}`;
      const job: Job = {
        title: title.toLowerCase(),
        run: async (again, tools) => {
          await again.call(operation, {}, tools.signal);
          return { message: done, back: 1 };
        },
      };
      return {
        lines: [losing, "Writes that were acknowledged are on the disk."],
        items: [
          { label: "No, go back", action: { kind: "back" } },
          { label: `Yes, ${title.toLowerCase()}`, needs: [operation], action: { kind: "run", job } },
        ],
      };
    },
  };
}

const SHELL: Action = {
  kind: "handover",
  handover: {
    command: ["/bin/sh", "-l"],
    notice: 'A shell of the appliance, as root. "exit" leads back to the menu.',
    next: () => "Back from the shell.",
  },
};

/** After the password; without one, the person at the serial line is whoever has the board in their hands. */
export const shellJob: Job = {
  title: "look whether there is a password",
  run: async (daemon, { signal }) => {
    const { isSet } = await daemon.call("system.password", {}, signal);
    return { message: "", next: isSet ? { kind: "form", form: askForm } : SHELL };
  },
};

const askForm: Form = {
  title: "Shell",
  lines: ["What is done there is done as root."],
  fields: [{ name: "password", label: "Password", value: "", secret: true }],
  submit: ({ password = "" }) => ({
    kind: "run",
    job: {
      title: "check the password",
      run: async (daemon, { signal }) => {
        const { right } = await daemon.call("system.password.check", { password }, signal);
        return right ? { message: "", next: SHELL } : { message: "That is not the password." };
      },
    },
  }),
};
