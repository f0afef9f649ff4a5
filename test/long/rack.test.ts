import { rmSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { afterAll, beforeAll, expect, test } from "vitest";
import { Board, emptyDisk, ensureBoard, fileDisk, SERVING_TIMEOUT_MS } from "../harness/board.ts";
import { Card, cardLayout } from "../harness/card.ts";
import { ensureGuest } from "../harness/guest.ts";
import { lampsShow } from "../harness/lamp-watch.ts";
import { NetworkNamespace } from "../harness/netns.ts";
import { runOrThrow } from "../harness/process.ts";
import { QemuMachine } from "../harness/qemu.ts";
import { Resources } from "../harness/resources.ts";
import { record } from "./record.ts";

/**
 * The picture of the product: an appliance on an emulated ARM board, and a machine without a disk at the same switch, which boots from
 * it to its login. The machine's system comes on a second USB disk, as a person would bring it, and is imported on the serial line.
 */
const directory = join(import.meta.dirname, "..", "..", "build", "rack-test");
const IMPORT_TIMEOUT_MS = 900_000;
const CONFIG = `network: { interface: eth0, address: 172.16.0.1/24, manage: true }
dhcp: { range: 172.16.0.100-172.16.0.200 }
machines: {}
`;

const resources = new Resources();
let network: NetworkNamespace;
let board: Board;
let uqbar: QemuMachine;

beforeAll(async () => {
  const tell = (line: string): void => console.log(line);
  const guest = await ensureGuest(tell);
  const parts = await ensureBoard(resources, join(directory, "..", "board"), tell);
  rmSync(directory, { recursive: true, force: true });
  network = await NetworkNamespace.create(resources, "172.16.0.2");
  const card = await Card.flash(directory, parts);
  await card.write("rackboot.yaml", CONFIG);
  board = await Board.install(resources, network, { directory, card });
  const ssd = await emptyDisk(join(directory, "ssd.img"), "16G");
  await runOrThrow(["mkfs.xfs", "-q", "-m", "reflink=1", "-L", cardLayout()["LABEL_DATA"] ?? "", ssd]);
  await board.plug(fileDisk("SSD", ssd));
  await board.plug(fileDisk("STICK", guest.seed, true));
  uqbar = await QemuMachine.install(resources, network, {
    name: "uqbar",
    mac: "52:54:00:16:00:10",
    firmware: "bios",
    directory: join(directory, "uqbar"),
  });
}, 1_500_000);

afterAll(async () => {
  await resources.close();
});

async function untilServing(): Promise<void> {
  const deadline = performance.now() + SERVING_TIMEOUT_MS;
  for (;;) {
    const { stdout } = await network.run(["curl", "-sS", "--max-time", "5", "http://172.16.0.1/healthz"]);
    if (/^ok/.test(stdout)) return;
    if (performance.now() > deadline) throw new Error(`The board does not serve (${stdout.trim()}):\n${board.uart.tail(40)}`);
    await sleep(250);
  }
}

test("a machine without a disk boots from an ARM board to its login", async () => {
  const poweredAtMs = performance.now();
  await board.powerOn();
  await untilServing();
  const servingSeconds = (performance.now() - poweredAtMs) / 1000;

  await board.shows(/Go to the menu without/);
  board.type("2\r");
  await board.shows(/15 {2}Shell/);
  board.type("15\r");
  await board.shows(/rackboot# *$/m);
  const stick = "$(grep -q ^/dev/sda /proc/mounts && echo sdb || echo sda)";
  const imported = await board.shell(`rackboot volume import /dev/${stick} golden --format raw`, IMPORT_TIMEOUT_MS);
  expect(imported, imported.output).toMatchObject({ code: 0 });
  const commands = [
    "rackboot volume clone golden uqbar-root",
    'rackboot machine add uqbar --mac 52:54:00:16:00:10 --address 172.16.0.16 --disk uqbar-root --arguments "rw console=ttyS0"',
  ];
  for (const command of commands) {
    const done = await board.shell(command);
    expect(done, `${command}: ${done.output}`).toMatchObject({ code: 0 });
  }

  const startedAtMs = performance.now();
  await uqbar.powerOn();
  await lampsShow(board, { ready: 2, rack: "fast" });
  expect(await uqbar.waitUntilUp()).toMatchObject({ hostname: "uqbar" });
  const loginSeconds = (performance.now() - startedAtMs) / 1000;
  await lampsShow(board, { ready: 2, rack: "solid", fault: "off" });
  expect((await uqbar.shell("hostname; findmnt -no SOURCE /")).stdout).toMatch(/^uqbar\n\/dev\/sda/);
  record("rack", {
    place: "appliance in qemu-system-aarch64 and machine in qemu-system-x86_64, both by software emulation on the machine below",
    powerToServingSeconds: Math.round(servingSeconds * 10) / 10,
    machinePowerToLoginSeconds: Math.round(loginSeconds * 10) / 10,
  });
});
