import type { NetworkReport, NetworkSettings } from "../../../src/control/network-operations.ts";
import { addressRange, addressWithPrefix, integer } from "../../../src/machine/config-values.ts";
import { orEmpty, valueCheck } from "../fields.ts";
import type { Answers, Field, Form, Item, Job, Screen, View } from "../screen.ts";
import { facts } from "../text.ts";

const LIVE_MS = 1000;

export const networkScreen: Screen = {
  title: "Network",
  everyMs: LIVE_MS,
  load: async (daemon, signal) => networkView(await daemon.call("network.show", {}, signal)),
};

export function networkView(report: NetworkReport): View {
  const { settings, pending, manage } = report;
  const shown = facts([
    ["interface", settings.interface],
    ["address", settings.address],
    ["VLAN", settings.vlan === null ? "none" : String(settings.vlan)],
    ["DHCP", settings.dhcpMode],
    ["DHCP range", settings.dhcpRange ?? "none: reservations only"],
  ]);
  if (pending !== undefined) {
    const lines = [
      `ON TRIAL: in ${pending.secondsLeft} s what was before comes back (${pending.before.address}), unless you keep this.`,
      "Look whether the rack can still be reached, then choose.",
      "",
      ...shown,
    ];
    return {
      lines,
      items: [
        { label: "Keep it", needs: ["network.confirm"], action: { kind: "run", job: keepJob } },
        { label: "Take it back now", needs: ["network.revert"], action: { kind: "run", job: takeBackJob } },
      ],
    };
  }
  const whose = manage
    ? "The appliance sets the address itself."
    : "The address is the system's to set (network.manage: false); it is only checked here.";
  const change: Item = { label: "Change it", needs: ["network.apply"], action: { kind: "form", form: changeForm(report) } };
  return { lines: [whose, "", ...shown], items: [change] };
}

const keepJob: Job = {
  title: "keep the network settings",
  run: async (daemon, { signal }) => {
    const { settings } = await daemon.call("network.confirm", {}, signal);
    return { message: `Kept: ${settings.address} on ${settings.interface}.` };
  },
};

const takeBackJob: Job = {
  title: "take the network settings back",
  run: async (daemon, { signal }) => {
    const { settings } = await daemon.call("network.revert", {}, signal);
    return { message: `As before: ${settings.address} on ${settings.interface}.` };
  },
};

/** Interface, address and VLAN. */
export function addressFields({ settings, interfaces }: NetworkReport): readonly Field[] {
  return [
    { name: "interface", label: "Interface", value: settings.interface, choices: interfaces, hint: "The one that faces the rack" },
    {
      name: "address",
      label: "Address",
      value: settings.address,
      hint: "The appliance's own, with the prefix length: 172.16.0.1/24",
      check: valueCheck(addressWithPrefix, "It is an address with a prefix length, such as 172.16.0.1/24."),
    },
    {
      name: "vlan",
      label: "VLAN",
      value: settings.vlan === null ? "" : String(settings.vlan),
      hint: "Empty: none",
      check: orEmpty((answer) => {
        return integer(1, 4094).safeParse(Number(answer)).success ? undefined : "A VLAN is a number from 1 to 4094.";
      }),
    },
  ];
}

export function dhcpFields({ settings }: NetworkReport): readonly Field[] {
  return [
    {
      name: "dhcpMode",
      label: "DHCP",
      value: settings.dhcpMode,
      choices: ["server", "proxy", "off"],
      hint: "server: gives addresses; proxy: boot files only, beside another DHCP server; off: nothing",
    },
    {
      name: "dhcpRange",
      label: "DHCP range",
      value: settings.dhcpRange ?? "",
      hint: "For machines without a reservation: 172.16.0.100-172.16.0.254; empty: none",
      check: orEmpty(valueCheck(addressRange, "It is two addresses with a dash, such as 172.16.0.100-172.16.0.254.")),
    },
  ];
}

export function settingsOf(answers: Answers): NetworkSettings {
  const { interface: name = "", address = "", vlan = "", dhcpMode, dhcpRange = "" } = answers;
  return {
    interface: name,
    address,
    vlan: vlan === "" ? null : Number(vlan),
    dhcpMode: dhcpMode === "proxy" || dhcpMode === "off" ? dhcpMode : "server",
    dhcpRange: dhcpRange === "" ? null : dhcpRange,
  };
}

function changeForm(report: NetworkReport): Form {
  return {
    title: "Change the network",
    lines: [
      "It is tried for 60 s, and comes back by itself unless you keep it then.",
      "Machines that run lose their disks for as long as the address is another one.",
    ],
    fields: [...addressFields(report), ...dhcpFields(report)],
    submit: (answers) => ({
      kind: "run",
      job: {
        title: "change the network",
        run: async (daemon, { signal }) => {
          await daemon.call("network.apply", settingsOf(answers), signal);
          return { message: "It is on trial: keep it, or it goes back." };
        },
      },
    }),
  };
}
