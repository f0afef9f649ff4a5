import type { NetworkReport } from "../../../src/control/network-operations.ts";
import type { Action, Answers, Form, Job, Screen, View } from "../screen.ts";
import { diskItems } from "./disk.ts";
import { addressFields, dhcpFields, settingsOf } from "./network.ts";
import { passwordForm } from "./system.ts";

/** A disk that is plugged in is seen by itself. */
const LOOK_EVERY_MS = 3000;

/** What a new appliance shows first. `menu` is the way round it. */
export function welcomeView(menu: Screen): View {
  return {
    lines: [
      "This appliance is not set up: it has no password yet, and nothing privileged is offered on the network until it has one. Four questions:",
      "",
      "    1. the network: interface, address, VLAN",
      "    2. DHCP: who gives addresses, and which",
      "    3. the data disk",
      "    4. a password",
      "",
      "A rackboot.yaml on the card's first partition answers all of them as well; any laptop can write it there.",
    ],
    items: [
      { label: "Answer the questions", needs: ["network.show", "system.password"], action: { kind: "run", job: begin } },
      { label: "Go to the menu without", action: { kind: "open", screen: menu } },
    ],
  };
}

const begin: Job = {
  title: "look at the network",
  run: async (daemon, { signal }) => ({
    message: "",
    next: { kind: "form", form: addressQuestion(await daemon.call("network.show", {}, signal)) },
  }),
};

function addressQuestion(report: NetworkReport): Form {
  return {
    title: "Question 1 of 4: network",
    lines: ["The interface that the rack's switch is on, and the appliance's own address there."],
    fields: addressFields(report),
    submit: (answers) => ({ kind: "form", form: dhcpQuestion(report, answers) }),
  };
}

function dhcpQuestion(report: NetworkReport, before: Answers): Form {
  return {
    title: "Question 2 of 4: DHCP",
    lines: ["One network has one DHCP server. Where there is one already, choose proxy."],
    fields: dhcpFields(report),
    submit: (answers) => ({ kind: "run", job: networkJob({ ...before, ...answers }) }),
  };
}

/** Whoever types on the serial line cannot lock themselves out: what comes into force is kept at once. */
function networkJob(answers: Answers): Job {
  return {
    title: "set the network",
    run: async (daemon, { signal }) => {
      await daemon.call("network.apply", settingsOf(answers), signal);
      const { settings } = await daemon.call("network.confirm", {}, signal);
      return {
        message: `The network is set: ${settings.address} on ${settings.interface}.`,
        back: 2,
        next: { kind: "open", screen: diskQuestion },
      };
    },
  };
}

const toPassword: Action = { kind: "form", form: passwordForm("Question 4 of 4: password", false, { kind: "back" }) };

const diskQuestion: Screen = {
  title: "Question 3 of 4: data disk",
  everyMs: LOOK_EVERY_MS,
  load: async (daemon, signal) => {
    const disks = await daemon.call("system.disks", {}, signal);
    const data = disks.find(({ role }) => role === "data");
    const items = diskItems(disks, toPassword);
    const lines =
      data !== undefined
        ? [`${data.name} is the data disk already. Go on with it, or choose a disk to format.`]
        : items.length === 0
          ? ["No disk is there. Plug in a USB disk, and it shows up here; or go on: the appliance serves what needs no disk."]
          : ["Volumes, snapshots and logs live on it. Choose one; it is formatted after you have typed its serial number."];
    return { lines, items: [{ label: data === undefined ? "Go on without" : "Go on with it", action: toPassword }, ...items] };
  },
};
