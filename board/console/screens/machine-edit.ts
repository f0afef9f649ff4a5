import type { ConfigEdited } from "../../../src/control/config-operations.ts";
import type { Machine } from "../../../src/machine/machine.ts";
import type { StrangerState } from "../../../src/state/state.ts";
import { age } from "../../../src/state/words.ts";
import { ipv4Check, macCheck, needed, orEmpty, sizeCheck } from "../fields.ts";
import { type Answers, type Field, type Form, type Item, type Job, type Outcome, type Screen, typedConfirmation } from "../screen.ts";

const nameField: Field = { name: "name", label: "Name", value: "", hint: "Letters, digits and dashes, such as web1", check: needed };
const addressField: Field = {
  name: "address",
  label: "Address",
  value: "",
  hint: "Empty: one of the DHCP range",
  check: orEmpty(ipv4Check),
};

export const addItem: Item = { label: "Add a machine", needs: ["machine.add"], action: { kind: "form", form: addForm("") } };

/** A MAC address that asks for an address and is no machine of ours; `profiles` are keys for many machines, by name. */
export function adoptItem(mac: string, { lastSeenAtMs, firmware }: StrangerState, profiles: readonly string[], nowMs: number): Item {
  const what = firmware === undefined ? "" : `, ${firmware}`;
  const action: Item["action"] =
    profiles.length === 0 ? { kind: "form", form: addForm(mac) } : { kind: "open", screen: profilesScreen(mac, profiles) };
  return { label: `Adopt ${mac} (asked ${age(nowMs - lastSeenAtMs)} ago${what})`, needs: ["machine.add"], action };
}

function profilesScreen(mac: string, profiles: readonly string[]): Screen {
  const own: Item = { label: "None: its disk is asked for", needs: ["machine.add"], action: { kind: "form", form: addForm(mac) } };
  return {
    title: `Adopt ${mac}`,
    load: async () => ({
      lines: ["A profile of rackboot.yaml says what disks it has and what it boots. Which?"],
      items: [
        ...profiles.map((profile): Item => {
          return { label: profile, needs: ["machine.adopt"], action: { kind: "form", form: profileForm(mac, profile) } };
        }),
        own,
      ],
    }),
  };
}

function profileForm(mac: string, profile: string): Form {
  return {
    title: `Adopt ${mac} as ${profile}`,
    lines: [],
    fields: [nameField, addressField],
    submit: ({ name = "", address = "" }) => ({
      kind: "run",
      job: {
        title: `adopt ${name}`,
        run: async (daemon, { signal }) => {
          const input = { mac, name, profile, ...(address !== "" && { address }) };
          return {
            ...edited(await daemon.call("machine.adopt", input, signal), `${name} is adopted; switch it on and it boots.`),
            back: 2,
          };
        },
      },
    }),
  };
}

function addForm(mac: string): Form {
  return {
    title: mac === "" ? "Add a machine" : `Adopt ${mac}`,
    lines: ["Its disk is new and empty, or a clone of another volume or snapshot."],
    fields: [
      nameField,
      { name: "mac", label: "MAC address", value: mac, check: macCheck },
      addressField,
      { name: "disk", label: "Disk", value: "new", choices: ["new", "clone", "none"] },
      {
        name: "size",
        label: "Size",
        value: "40G",
        hint: "Of a new disk; of a clone, empty means as the origin",
        check: orEmpty(sizeCheck),
      },
      { name: "origin", label: "Clone of", value: "", hint: "A volume or snapshot, such as golden or golden@monday", check: originCheck },
    ],
    submit: (answers) => ({ kind: "run", job: addJob(answers) }),
  };
}

function originCheck(origin: string, { disk }: Answers): string | undefined {
  return disk === "clone" && origin === "" ? "A clone needs an origin; Volumes and snapshots lists them." : undefined;
}

function addJob(answers: Answers): Job {
  const { name = "", mac = "", address = "" } = answers;
  return {
    title: `add ${name}`,
    run: async (daemon, { signal }) => {
      const disks = disksOf(answers);
      const keys = { mac, ...(address !== "" && { address }), ...(disks.length > 0 && { disks }) };
      return edited(await daemon.call("machine.add", { name, keys }, signal), `${name} is added; switch it on and it boots.`);
    },
  };
}

/** As they are written inside a machine in rackboot.yaml. */
function disksOf({ disk, size = "", origin = "" }: Answers): readonly Readonly<Record<string, string>>[] {
  if (disk === "none") return [];
  return [{ ...(disk === "clone" && { clone: origin }), ...(size !== "" && { size: size.toUpperCase() }) }];
}

export function removeItem({ name, disks }: Machine): Item {
  const kept = disks.length === 0 ? "" : `Its disks stay where they are: ${disks.join(", ")}.`;
  const lines = [`${name} is forgotten: it gets no address and no disk any more.`, kept, "If it is running, it loses its disks at once."];
  const job: Job = {
    title: `remove ${name}`,
    // The page of what is no longer there is left as well.
    run: async (daemon, { signal }) => ({
      ...edited(await daemon.call("machine.remove", { name, force: true }, signal), `${name} is removed.`),
      back: 2,
    }),
  };
  return {
    label: "Remove it",
    needs: ["machine.remove"],
    action: { kind: "form", form: typedConfirmation(`Remove ${name}`, lines, name, job) },
  };
}

export function moveItem({ name, macs }: Machine): Item {
  const form: Form = {
    title: `Move ${name}`,
    lines: [
      `${name}, with its name, address, disks and boot entry, goes to other hardware.`,
      `Now it is ${macs.join(" ")}. Switch that off first: both would write to one disk.`,
    ],
    fields: [
      { name: "mac", label: "MAC address of the new hardware", value: "", check: macCheck },
      {
        name: "off",
        label: `Type off when ${name} is off`,
        value: "",
        check: (answer) => (answer === "off" ? undefined : 'Only "off" goes on.'),
      },
    ],
    submit: ({ mac = "" }) => ({
      kind: "run",
      job: {
        title: `move ${name}`,
        run: async (daemon, { signal }) =>
          edited(await daemon.call("machine.move", { name, mac: [mac], force: true }, signal), `${name} is ${mac} now; switch that on.`),
      },
    }),
  };
  return { label: "Move it to other hardware", needs: ["machine.move"], action: { kind: "form", form } };
}

/** With another machine of the rack, which is chosen from a page of its own. */
export function swapItem({ name }: Machine): Item {
  const screen: Screen = {
    title: `Swap ${name}`,
    load: async (daemon, signal) => {
      const machines = await daemon.call("machine.list", {}, signal);
      const others = machines.filter((other) => other.name !== name);
      const lines = [
        others.length === 0
          ? `There is no other machine that ${name} could change hardware with.`
          : `The hardware of ${name} and of the other become each other. Names, addresses and disks stay. With which?`,
      ];
      return {
        lines,
        items: others.map(({ name: other, macs }): Item => {
          return { label: `${other}  ${macs.join(" ")}`, needs: ["machine.swap"], action: { kind: "form", form: swapForm(name, other) } };
        }),
      };
    },
  };
  return { label: "Swap its hardware with another machine's", needs: ["machine.swap"], action: { kind: "open", screen } };
}

function swapForm(name: string, other: string): Form {
  const lines = [`${name} and ${other} change their hardware. Switch both off first: each disk has one writer.`];
  return {
    title: `Swap ${name} and ${other}`,
    lines,
    fields: [
      {
        name: "off",
        label: "Type off when both are off",
        value: "",
        check: (answer) => (answer === "off" ? undefined : 'Only "off" goes on.'),
      },
    ],
    submit: () => ({
      kind: "run",
      job: {
        title: `swap ${name} and ${other}`,
        run: async (daemon, { signal }) => {
          const answer = await daemon.call("machine.swap", { names: [name, other], force: true }, signal);
          return { ...edited(answer, `${name} and ${other} have changed their hardware; switch them on.`), back: 2 };
        },
      },
    }),
  };
}

/** What may surprise comes with the answer; the first of it is said. */
export function edited({ notices, deferred }: ConfigEdited, done: string): Outcome {
  const later = deferred.length === 0 ? "" : ` In force from the next start: ${deferred.join(", ")}.`;
  const notice = notices[0] === undefined ? "" : ` Note: ${notices[0]}.`;
  return { message: `${done}${later}${notice}` };
}
