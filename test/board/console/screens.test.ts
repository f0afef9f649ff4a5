import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { openForm } from "../../../board/console/form.ts";
import { openConsole, step } from "../../../board/console/model.ts";
import { render } from "../../../board/console/render.ts";
import type { Form, View } from "../../../board/console/screen.ts";
import { formatForm } from "../../../board/console/screens/disk.ts";
import { homeScreen } from "../../../board/console/screens/home.ts";
import { networkView } from "../../../board/console/screens/network.ts";
import { volumesView } from "../../../board/console/screens/volumes.ts";
import { welcomeView } from "../../../board/console/screens/wizard.ts";
import type { ConsoleEvent } from "../../../board/console/state.ts";
import { Desk } from "./desk.ts";
import { NOW_MS, rackDaemon } from "./rack.ts";

// What the pages say of times is the same wherever this runs.
process.env["TZ"] = "UTC";

const up = {
  kind: "up",
  operations: new Set([
    "network.show",
    "system.password",
    "network.confirm",
    "network.revert",
    "volume.create",
    "update.install",
    "update.restart",
    "update.rollback",
    "update.confirm",
  ]),
  summary: { version: "0.1.0", address: "172.16.0.1/24", alarms: 0 },
} as const;

function shown(title: string, view: View, ...events: readonly ConsoleEvent[]): string {
  let { state } = openConsole({ title, load: async () => view });
  for (const event of [{ type: "link", link: up } as const, { type: "loaded", page: 1, view } as const, ...events])
    state = step(state, event).state;
  return page(render(state, NOW_MS).lines);
}

function shownForm(form: Form): string {
  const { state } = openConsole(homeScreen(false));
  return page(render({ ...state, link: up, pages: [{ kind: "form", id: 1, ...openForm(form) }] }, NOW_MS).lines);
}

/** Framed, so that a snapshot shows where the lines end; the clock is the test machine's. */
function page(lines: readonly string[]): string {
  return lines.map((line, row) => `|${(row === 0 ? line.replace(/\d\d:\d\d:\d\d$/, "hh:mm:ss") : line).padEnd(79)}|`).join("\n");
}

const network = {
  interface: "eth0",
  address: "172.17.0.1/24",
  vlan: 20,
  dhcpMode: "server",
  dhcpRange: "172.17.0.100-172.17.0.199",
} as const;

describe("what a tired person reads at 80 by 24", () => {
  it("a new appliance asks four questions", () => {
    expect(shown("Welcome", welcomeView(homeScreen(true)))).toMatchSnapshot();
  });

  it("a network on trial says how long, and how to keep it", () => {
    const pending = { before: { ...network, address: "172.16.0.1/24" }, secondsLeft: 42 };
    expect(shown("Network", networkView({ settings: network, manage: true, interfaces: ["eth0"], pending }))).toMatchSnapshot();
  });

  it("a disk that would be erased says what is on it, and wants its serial number", () => {
    const disk = {
      name: "sda",
      sizeBytes: 500e9,
      model: "Samsung T7",
      serial: "S5TXNS0R",
      usb: true,
      readOnly: false,
      role: "other",
      contents: [{ type: "ext4", label: "photos" }],
      confirmation: "S5TXNS0R",
    } as const;
    expect(shownForm(formatForm(disk))).toMatchSnapshot();
  });

  it("volumes, and a refusal that needs more than a line", () => {
    const pool = { path: "/data", fileSystem: "xfs", reflink: true, sizeBytes: 500e9, freeBytes: 120e9 };
    const view = volumesView({ pool, volumes: [] } as unknown as Parameters<typeof volumesView>[0]);
    const message =
      "rackboot.yaml:12:14: machines.uqbar.address: found 172.16.0.300; allowed: an IPv4 address such as 172.16.0.1\nNothing was changed.";
    const work = { type: "failed", work: 7, reason: message } as const;
    let text = "";
    const { state } = openConsole({ title: "Volumes and snapshots", load: async () => view });
    const loaded = step(step(state, { type: "link", link: up }).state, { type: "loaded", page: 1, view }).state;
    const job = { title: "add", run: async () => ({ message: "" }) };
    text = page(render(step({ ...loaded, work: { id: 7, job, progress: "" } }, work).state, NOW_MS).lines);
    expect(text).toMatchSnapshot();
  });
});

/** Every page of the menu, and the way there. */
const PAGES: readonly (readonly string[])[] = [
  [],
  ["Status"],
  ["Machines"],
  ["Machines", "Add a machine"],
  ["Machines", "Adopt"],
  ["Machines", "Adopt", "worker"],
  ["Machines", "Adopt", "None"],
  ["Machines", "uqbar"],
  ["Machines", "uqbar", "Boot entry"],
  ["Machines", "uqbar", "Boot entry", "427.20.1"],
  ["Machines", "uqbar", "What it boots"],
  ["Machines", "uqbar", "What it boots", "Install rhel-9.4"],
  ["Machines", "uqbar", "Reset"],
  ["Machines", "uqbar", "Move"],
  ["Machines", "uqbar", "Swap"],
  ["Machines", "uqbar", "Swap", "tlon"],
  ["Machines", "uqbar", "Remove"],
  ["Volumes"],
  ["Volumes", "Create"],
  ["Volumes", "uqbar-root"],
  ["Volumes", "uqbar-root", "Take a snapshot"],
  ["Volumes", "uqbar-root", "Clone"],
  ["Volumes", "uqbar-root", "Grow"],
  ["Volumes", "uqbar-root", "Delete"],
  ["Volumes", "uqbar-root", "before-update"],
  ["Volumes", "uqbar-root", "before-update", "Roll"],
  ["Images"],
  ["Images", "USB stick"],
  ["Images", "USB stick", "rhel-9.4"],
  ["Images", "data disk"],
  ["Images", "rhel-9.4"],
  ["Images", "rhel-9.4", "Delete"],
  ["Network"],
  ["Network", "Change"],
  ["Data disk"],
  ["Data disk", "sdb"],
  ["Alarms"],
  ["Log"],
  ["Update"],
  ["Update", "USB stick"],
  ["Update", "USB stick", "raucb"],
  ["Update", "data disk"],
  ["Back up"],
  ["Back up", "Show"],
  ["Back up", "Paste"],
  ["Time"],
  ["Time", "Set the time"],
  ["Time", "Time servers"],
  ["Password"],
  ["Reboot"],
  ["Shut down"],
  ["Shell"],
];

describe("every page of the menu at 80 by 24", () => {
  // Of what the pages tell, this alone hangs on the machine: which programs are there.
  const folder = mkdtempSync(join(tmpdir(), "rackboot-path-"));
  const path = process.env["PATH"];
  beforeAll(() => {
    for (const name of ["sz", "rz"]) writeFileSync(join(folder, name), "", { mode: 0o755 });
    process.env["PATH"] = folder;
  });
  afterAll(() => {
    process.env["PATH"] = path;
    rmSync(folder, { recursive: true });
  });

  it.each(PAGES.map((path) => ({ name: ["Menu", ...path].join(" > "), path })))("$name", async ({ path }) => {
    const desk = await Desk.sitDown(await rackDaemon());
    expect((await desk.choose(...path)).page).toMatchSnapshot();
  });

  it.each([[[]], [["Status"]], [["Alarms"]]])("%j while things are wrong, told by words alone", async (path) => {
    const desk = await Desk.sitDown(await rackDaemon({ troubles: true }));
    expect((await desk.choose(...path)).page).toMatchSnapshot();
  });

  it("the first question of a new appliance", async () => {
    const desk = await Desk.sitDown(await rackDaemon({ isNew: true }));
    expect((await desk.choose("Answer the questions")).page).toMatchSnapshot();
  });
});
