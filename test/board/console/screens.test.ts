import { describe, expect, it } from "vitest";
import { openForm } from "../../../board/console/form.ts";
import { type ConsoleEvent, openConsole, step } from "../../../board/console/model.ts";
import { render } from "../../../board/console/render.ts";
import type { Form, View } from "../../../board/console/screen.ts";
import { formatForm } from "../../../board/console/screens/disk.ts";
import { homeScreen } from "../../../board/console/screens/home.ts";
import { networkView } from "../../../board/console/screens/network.ts";
import { statusView } from "../../../board/console/screens/status.ts";
import { updateView } from "../../../board/console/screens/update.ts";
import { volumesView } from "../../../board/console/screens/volumes.ts";
import { welcomeView } from "../../../board/console/screens/wizard.ts";
import type { StatusReport } from "../../../src/control/operations.ts";
import { Store } from "../../../src/state/store.ts";
import { start } from "../../state/uefi-boot.ts";

const NOW_MS = Date.UTC(2026, 0, 31, 13, 5, 0);
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

function statusReport(): StatusReport {
  const store = new Store();
  for (const event of start) store.emit(event);
  return { version: "0.1.0", pid: 1, nowMs: NOW_MS, state: store.snapshot(), reserved: {} };
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

  it("the two systems of a card", () => {
    const slots = [
      { name: "a", running: true, primary: true, state: "good", version: "0.1.0" },
      { name: "b", running: false, primary: false, state: "failed", version: "0.2.0" },
    ] as const;
    expect(shown("Update and roll back", updateView({ slots, confirmed: true, installing: false }))).toMatchSnapshot();
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

  it("the status of a rack in which a machine boots", () => {
    expect(shown("Status", statusView(statusReport()))).toMatch(/Machines\s/);
  });
});
